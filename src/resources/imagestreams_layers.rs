//! `imagestreams/layers`: the images of a stream with their layers.

use std::sync::Arc;

use parking_lot::Mutex;

use super::api_version::API;
use super::catalog::Catalog;
use crate::api::ImageStreamLayers;
use crate::domain::layers_builder::{BrokenImage, LayersBuilder};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{GroupResource, Limited, Status, excerpt, field};
use crate::registry::actor::Actor;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::options::GetOptions;
use crate::registry::outcome::ReadResult;
use crate::registry::unreadable::ObjectState;
use crate::registry::verbs::{Get, Scope};
use crate::telemetry::OnceEach;

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(LayersHandler {
        catalog: catalog.clone(),
        logged: Mutex::new(OnceEach::bounded(MAX_LOGGED_IMAGES)),
    });
    Builder::new(API, "imagestreams", Scope::Namespaced)
        .subresource("layers")
        .metadata()
        .get(&handler)
        .build()
}

/// The number of images after which a task yields.
const IMAGES_PER_YIELD: usize = 16;

/// The maximum size of a response, in bytes of JSON (estimated).
const MAX_BYTES: usize = 16 << 20;
/// The maximum size of a response for which little memory is needed, in bytes.
const MAX_SMALL_BYTES: usize = 256 << 10;
/// The memory of a larger response, in bytes: two views of the maximum size and their encoding. It
/// is reserved at once, because a request must not wait for more while it holds much.
const LARGE_RESPONSE: u64 = 4 * MAX_BYTES as u64;

/// The maximum number of broken images that are logged. Clients can make any number of them.
const MAX_LOGGED_IMAGES: usize = 1_000;

struct LayersHandler {
    catalog: Arc<Catalog>,
    /// Broken images that were logged.
    logged: Mutex<OnceEach<String>>,
}

impl LayersHandler {
    /// The warnings about images that are left out. Logs each image once.
    fn warnings(&self, left_out: Limited<BrokenImage>) -> Vec<String> {
        let more = left_out.is_cut().then(|| "more images are left out".to_owned());
        let mut logged = self.logged.lock();
        let warning = |BrokenImage { name, reason }| {
            let text = format!("image {} is left out: {reason}", excerpt::of(&name));
            if logged.record(name.clone()) {
                tracing::warn!(image = name, reason, "left a broken image out of layers");
            }
            text
        };
        left_out.into_iter().map(warning).chain(more).collect()
    }

    /// Logs that an image is left out, once for each image.
    fn log_unreadable(&self, name: &str, status: &Status) {
        if self.catalog.record_damage(&self.catalog.images.key("", name)) {
            let cause = status.hidden.as_deref().unwrap_or(&status.message);
            tracing::error!(
                image = name,
                cause,
                "an unreadable image is left out of the layers of its streams"
            );
        }
    }
}

impl Get<ImageStreamLayers> for LayersHandler {
    async fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> Result<ReadResult<ImageStreamLayers>, Status> {
        check_path_segment(at.name())?;
        let streams = &self.catalog.streams;
        let stream = streams.read(actor, at, options, at.name()).await?;
        let stream = stream.ok_or_else(|| Status::not_found(streams.resource(), at.name()))?;
        let mut view = LayersBuilder::new(&stream);
        for step in 1.. {
            let Some(name) = view.next_image() else {
                break;
            };
            if step % IMAGES_PER_YIELD == 0 {
                tokio::task::yield_now().await;
            }
            match self.catalog.images.find_state(&actor.load, "", &name).await? {
                ObjectState::Missing => view.add(name, None),
                ObjectState::Readable(image) => view.add(name, Some(&image)),
                // Registries can serve the other images of the stream.
                ObjectState::Unreadable(status) => {
                    self.log_unreadable(&name, &status);
                    view.leave_out(name, "it cannot be read from the store");
                }
            }
            if view.size() > MAX_BYTES {
                return Err(too_large(streams.resource(), at.name()));
            }
            if view.size() > MAX_SMALL_BYTES {
                actor.load.reserve_memory(LARGE_RESPONSE).await?;
                actor.load.enter_slot().await;
            }
        }
        let (layers, left_out) = view.finish();
        let warnings = self.warnings(left_out);
        Ok(ReadResult::Partial { object: Box::new(layers), warnings })
    }
}

fn too_large(resource: GroupResource<'_>, name: &str) -> Status {
    let text = format!(
        "the layers of {resource} {} take more than {MAX_BYTES} bytes: remove tags, or images from the histories of its \
         tags (oc adm prune images), or ask for single images (imagestreamimages)",
        field::quote(name)
    );
    Status::failure(413, "RequestEntityTooLarge", text).about(resource, name)
}
