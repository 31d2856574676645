//! `imagestreammappings`: what a registry sends after a push. Image and tag event are written in one transaction.

use std::sync::Arc;

use super::{API, Catalog};
use crate::api::{GROUP, Image, ImageStreamMapping};
use crate::domain::mapping::{self, Present};
use crate::domain::{limits, validate};
use crate::meta::{Kind, Resource, Status, field};
use crate::rest::cx::Cx;
use crate::rest::endpoint::{Builder, Create, Endpoint, Scope};
use crate::rest::metadata;
use crate::rest::options::{DryRun, Options};
use crate::rest::reply::Written;
use crate::rest::rules::Rules;
use crate::rest::update::{Decision, transact};

/// The resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    Builder::new(API, "imagestreammappings", Scope::Namespaced)
        .names("imagestreammapping", &[])
        .create(&Arc::new(Push(catalog.clone())))
        .build()
}

struct Push(Arc<Catalog>);

impl Create<ImageStreamMapping> for Push {
    async fn create(
        &self,
        cx: &Cx,
        options: &Options,
        mapping: ImageStreamMapping,
    ) -> Result<Written<ImageStreamMapping>, Status> {
        let mapping = self.admit(cx, mapping)?;
        let image = self.new_image(cx, &mapping);
        let (images, streams) = (&self.0.images, &self.0.streams);
        let name = &mapping.metadata.name;
        let keys = [streams.key(cx.namespace(), name), images.key("", &mapping.image.metadata.name)];
        transact(streams.store(), &cx.load, &keys, |seen| {
            let missing = || Status::not_found(Resource { group: GROUP, name: "imagestreammappings" }, name);
            let (stream, present) = (seen.entry(&keys[0]).ok_or_else(missing)?, seen.entry(&keys[1]));
            // Registries make a stream that is missing, so that is told before what is wrong with the image.
            let image = image.as_ref().map_err(Status::clone)?;
            let before = streams.decode(stream)?;
            let errors: field::Errors = limits::pushed_tag(&before, &mapping.tag).into_iter().collect();
            refuse(&mapping, &errors)?;
            let mut after = before.clone();
            streams.strategy().present(&mut after);
            let is_present = if present.is_some() { Present::Yes } else { Present::No };
            let mut changes = Vec::new();
            if mapping::push(&mut after, &mapping, is_present, self.0.tag_history, cx.now).is_change() {
                changes.extend(streams.changes(&keys[0], name, Some(&before), Some(&after))?);
            }
            if present.is_none() {
                changes.extend(images.changes(&keys[1], &image.metadata.name, None, Some(image))?);
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
        metadata::prepare_view(cx, &mut mapping.metadata)?;
        mapping::prepare(&mut mapping, &self.0.registries);
        let mut faults = metadata::faults(&mapping.metadata);
        faults.append(validate::mapping(&mapping, &|meta| metadata::nested_faults(meta, || None)));
        faults.extend(mapping::manifest_fault(&mapping.image));
        refuse(&mapping, &faults)?;
        Ok(mapping)
    }

    /// The image, to be stored if it is not there yet.
    fn new_image(&self, cx: &Cx, mapping: &ImageStreamMapping) -> Result<Image, Status> {
        let cx = Cx { target: Default::default(), ..cx.clone() };
        let mut image = mapping.image.clone();
        image.metadata.namespace.clear();
        self.0.images.admit(&cx, &mut image)?;
        Ok(image)
    }
}

/// 422, if there are faults.
fn refuse(mapping: &ImageStreamMapping, faults: &field::Errors) -> Result<(), Status> {
    let kind = Resource { group: GROUP, name: ImageStreamMapping::KIND };
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid(kind, &mapping.metadata.name, faults)) }
}
