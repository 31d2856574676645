//! `imagestreammappings`: what a registry sends after a push. Image and tag event are written in one transaction.

use std::sync::Arc;

use super::{API, Catalog};
use crate::api::{GROUP, Image, ImageStream, ImageStreamMapping, TagEvent};
use crate::domain::{history, reference, validate};
use crate::meta::{Kind, Resource, Status};
use crate::rest::cx::Cx;
use crate::rest::endpoint::{Builder, Create, Endpoint, Scope};
use crate::rest::metadata;
use crate::rest::options::{DryRun, Options};
use crate::rest::reply::Written;
use crate::rest::update::{Decision, transact};
use crate::store::Entry;

/// The resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    Builder::new(API, "imagestreammappings", Scope::Namespaced)
        .names("imagestreammapping", &[])
        .create(&Arc::new(Push(catalog.clone())))
        .build()
}

/// Says, with `"true"`, that an image was pushed to the internal registry.
const MANAGED: &str = "openshift.io/image.managed";

struct Push(Arc<Catalog>);

impl Create<ImageStreamMapping> for Push {
    async fn create(
        &self,
        cx: &Cx,
        options: &Options,
        mapping: ImageStreamMapping,
    ) -> Result<Written<ImageStreamMapping>, Status> {
        let mapping = self.admit(cx, mapping)?;
        let image = self.new_image(cx, &mapping)?;
        let (images, streams) = (&self.0.images, &self.0.streams);
        let name = &mapping.metadata.name;
        let keys = [streams.key(cx.namespace(), name), images.key("", &image.metadata.name)];
        transact(streams.store(), &keys, |seen| {
            let missing = || Status::not_found(Resource { group: GROUP, name: "imagestreammappings" }, name);
            let (stream, present) = (seen.entry(&keys[0]).ok_or_else(missing)?, seen.entry(&keys[1]));
            let before = streams.decode(stream)?;
            let mut after = before.clone();
            let event = self.event(cx, &mapping, &before, present);
            let mut changes = Vec::new();
            if history::push(&mut after.status.tags, &mapping.tag, event, history::MaxTagHistory::default()).is_change()
            {
                history::push_to_followers(&mut after, &mapping.tag, history::MaxTagHistory::default());
                changes.extend(streams.changes(&keys[0], name, Some(&before), Some(&after))?);
            }
            if present.is_none() {
                changes.extend(images.changes(&keys[1], &image.metadata.name, None, Some(&image))?);
            }
            let has_work = !changes.is_empty() && options.dry_run == DryRun::Off;
            Ok(if has_work { Decision::Write(changes, ()) } else { Decision::Keep(()) })
        })
        .await?;
        Ok(Written::status(Status { code: 201, ..Status::success() }))
    }
}

impl Push {
    /// Completes and checks what was sent.
    fn admit(&self, cx: &Cx, mut mapping: ImageStreamMapping) -> Result<ImageStreamMapping, Status> {
        metadata::prepare_create(cx, &mut mapping.metadata)?;
        if mapping.image.docker_image_reference.is_empty() {
            mapping.image.docker_image_reference = self.0.registries.default_reference(&mapping).unwrap_or_default();
        }
        mapping.image.signatures.clear();
        let mut faults = metadata::faults(&mapping.metadata);
        faults.extend(validate::mapping(&mapping, &metadata::faults));
        match faults.is_empty() {
            true => Ok(mapping),
            false => {
                let kind = Resource { group: GROUP, name: ImageStreamMapping::KIND };
                Err(Status::invalid(kind, &mapping.metadata.name, &faults))
            }
        }
    }

    /// The image, to be stored if it is not there yet.
    fn new_image(&self, cx: &Cx, mapping: &ImageStreamMapping) -> Result<Image, Status> {
        let cx = Cx { target: Default::default(), ..cx.clone() };
        let mut image = mapping.image.clone();
        image.metadata.namespace.clear();
        self.0.images.admit(&cx, &mut image)?;
        Ok(image)
    }

    /// The event that the push is. An image that is `present` and was pushed to the internal registry is pulled from there
    /// through this stream, wherever it was pushed first.
    fn event(&self, cx: &Cx, mapping: &ImageStreamMapping, stream: &ImageStream, present: Option<&Entry>) -> TagEvent {
        let image = &mapping.image;
        let is_managed = image.metadata.annotations.get(MANAGED).is_some_and(|value| value == "true");
        let mut reference = image.docker_image_reference.clone();
        if present.is_some() && is_managed {
            let mut stream = stream.clone();
            self.0.registries.decorate(&mut stream);
            let repository = [&stream.status.docker_image_repository, &stream.spec.docker_image_repository];
            if let Some(repository) = repository.into_iter().find(|each| !each.is_empty()) {
                reference = reference::of_image(repository, &image.metadata.name).unwrap_or(reference);
            }
        }
        TagEvent {
            created: Some(cx.now),
            docker_image_reference: reference,
            image: image.metadata.name.clone(),
            generation: stream.metadata.generation,
        }
    }
}
