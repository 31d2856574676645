//! `imagestreams/layers`: which images a stream has, and what they are made of.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use crate::api::{GROUP, ImageStreamLayers};
use crate::domain::layers_builder::LayersBuilder;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_ref::check_path_segment;
use crate::registry::options::GetOptions;
use crate::registry::outcome::ReadResult;
use crate::registry::verbs::{Get, Scope};

/// The resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(LayersHandler(catalog.clone()));
    Builder::new(API, "imagestreams", Scope::Namespaced).subresource("layers").metadata().get(&handler).build()
}

/// After this many images in a row others get their turn.
const IMAGES_PER_YIELD: usize = 16;

/// The largest view that is shown, in bytes of its JSON, about. No stored object is larger either, by default.
const MAX_BYTES: usize = 16 << 20;

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
            let image = self.0.images.find(&actor.load, "", &name).await?;
            view.add(name, image.as_ref());
            drop(image);
            if view.size() > MAX_BYTES {
                return Err(too_large(streams.resource(), at.name()));
            }
            if !actor.load.fits(view.size()) {
                actor.load.acquire_slot().await;
            }
        }
        // Clients know this fault without a kind and a name.
        let kind = GroupResource { group: GROUP, name: "" };
        let layers = view.finish().map_err(|faults| Status::invalid(kind, "", &faults))?;
        Ok(ReadResult::Object(Box::new(layers)))
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
