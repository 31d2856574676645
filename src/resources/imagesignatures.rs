//! `imagesignatures`: signatures of an image, named `<image>@<signature>` and stored in the image.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use crate::api::{GROUP, Image, ImageSignature};
use crate::domain::image_signatures::{self, SignatureName};
use crate::domain::validate;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::machinery::schema::Schema;
use crate::machinery::updated_object;
use crate::meta::{GroupResource, Kind, Status};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionOperation, AdmissionPhase, AdmissionStep, AdmissionTarget, WriteOrigin,
};
use crate::registry::admission::chain::Admitted;
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::unreadable::refuse_unsafe_delete;
use crate::registry::verbs::{Create, Delete, Scope};
use crate::registry::write::{AllowCreate, Edited, WritePurpose, WriteRequest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

const RESOURCE: GroupResource<'static> = GroupResource { group: GROUP, name: "imagesignatures" };

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(SignatureHandler {
        catalog: catalog.clone(),
        schema: Schema::of::<ImageSignature>(),
    });
    Builder::new(API, "imagesignatures", Scope::Cluster)
        .names("imagesignature", &[])
        .create(&handler)
        .delete(&handler)
        .build()
}

struct SignatureHandler {
    catalog: Arc<Catalog>,
    schema: Schema,
}

impl SignatureHandler {
    /// Edits the image that a signature belongs to. `change` may return a run of the admission chain
    /// that must come first.
    async fn edit(
        &self,
        actor: &Actor,
        name: &SignatureName<'_>,
        purpose: WritePurpose,
        change: impl Fn(&mut Image, &Admitted) -> Result<Option<Box<AdmissionStep>>, Status>
        + Send
        + Sync,
    ) -> Result<(), Status> {
        let images = &self.catalog.images;
        let (strategy, creation) = (images.strategy(), AllowCreate::Free);
        let request = WriteRequest { strategy, creation, purpose, origin: WriteOrigin::Derived };
        let edit = |old: Option<&Image>, admitted: &Admitted| {
            let mut image =
                old.ok_or_else(|| Status::not_found(images.resource(), name.image))?.clone();
            Ok(match change(&mut image, admitted)? {
                Some(step) => Edited::Admit(step),
                None => Edited::Object(image, ()),
            })
        };
        images.write_admitted(actor, "", name.image, request, edit).await.map(drop)
    }

    /// The run of the admission chain that the deletion of a signature needs next.
    fn deletion_step(
        &self,
        image: &Image,
        name: &SignatureName<'_>,
        admitted: &Admitted,
    ) -> Option<Box<AdmissionStep>> {
        let target =
            AdmissionTarget::requested::<ImageSignature>(AdmissionOperation::Delete, RESOURCE, API);
        let signature = image_signatures::find(image, name.whole)?;
        let chain = self.catalog.storage.chain();
        [AdmissionPhase::Mutate, AdmissionPhase::Validate].into_iter().find_map(|phase| {
            chain.step(admitted, (phase, target), ("", name.whole), Some(signature), None)
        })
    }
}

impl Create<ImageSignature> for SignatureHandler {
    async fn create(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        signature: ImageSignature,
    ) -> Result<Written<ImageSignature>, Status> {
        let chain = self.catalog.storage.chain();
        let target =
            AdmissionTarget::requested::<ImageSignature>(AdmissionOperation::Create, RESOURCE, API);
        let mut signature = chain.mutate_new(target, "", signature, actor).await?;
        metadata::prepare_virtual(at.namespace(), actor.now, &mut signature.metadata)?;
        image_signatures::prepare(&mut signature);
        let writer = actor.manager(API);
        let managed =
            updated_object::updated_managed_fields(&self.schema, None, &signature, API, &writer)?;
        signature.metadata.managed_fields = managed;
        let mut errors = metadata::validate(&signature.metadata);
        errors.append(validate::signature(&signature));
        if !errors.is_empty() {
            let kind = GroupResource { group: GROUP, name: ImageSignature::KIND };
            return Err(Status::invalid(kind, &signature.metadata.name, &errors));
        }
        chain.validate_virtual(target, &signature, actor).await?;
        let name = SignatureName::parse(&signature.metadata.name)?;
        let add = |image: &mut Image, _: &Admitted| {
            image_signatures::add(image, &signature).map(|()| None)
        };
        self.edit(actor, &name, WritePurpose::Store, add).await?;
        Ok(Written::created(signature.clone()))
    }
}

impl Delete<ImageSignature> for SignatureHandler {
    async fn delete(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &DeleteOptions,
    ) -> Result<Written<ImageSignature>, Status> {
        refuse_unsafe_delete(RESOURCE, at.name(), options)?;
        let name = SignatureName::parse(at.name())?;
        let remove = |image: &mut Image, admitted: &Admitted| {
            let step = self.deletion_step(image, &name, admitted);
            image_signatures::remove(image, &name)?;
            Ok(step)
        };
        self.edit(actor, &name, WritePurpose::Delete, remove).await?;
        Ok(Written::status(Status::success()))
    }
}
