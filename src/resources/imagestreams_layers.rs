//! `imagestreams/layers`: the images of a stream with their layers.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use crate::api::{GROUP, ImageStreamLayers};
use crate::domain::layers_builder::LayersBuilder;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::options::GetOptions;
use crate::registry::outcome::ReadResult;
use crate::registry::unreadable::ObjectState;
use crate::registry::verbs::{Get, Scope};

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(LayersHandler(catalog.clone()));
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

struct LayersHandler(Arc<Catalog>);

impl Get<ImageStreamLayers> for LayersHandler {
    async fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> Result<ReadResult<ImageStreamLayers>, Status> {
        check_path_segment(at.name())?;
        let streams = &self.0.streams;
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
            match self.0.images.find_state(&actor.load, "", &name).await? {
                ObjectState::Missing => view.add(name, None),
                ObjectState::Readable(image) => view.add(name, Some(&image)),
                // Registries can serve the other images of the stream.
                ObjectState::Unreadable(status) => self.log_unreadable(&name, &status),
            }
            if view.size() > MAX_BYTES {
                return Err(too_large(streams.resource(), at.name()));
            }
            if view.size() > MAX_SMALL_BYTES {
                actor.load.reserve_memory(LARGE_RESPONSE).await?;
                actor.load.enter_slot().await;
            }
        }
        // The OpenShift API server reports these errors without kind and name.
        let kind = GroupResource { group: GROUP, name: "" };
        let layers = view.finish().map_err(|errors| Status::invalid(kind, "", &errors))?;
        Ok(ReadResult::Object(Box::new(layers)))
    }
}

impl LayersHandler {
    /// Logs that an image is left out, once for each image.
    fn log_unreadable(&self, name: &str, status: &Status) {
        if self.0.record_damage(&self.0.images.key("", name)) {
            let cause = status.hidden.as_deref().unwrap_or(&status.message);
            tracing::error!(
                image = name,
                cause,
                "an unreadable image is left out of the layers of its streams"
            );
        }
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
