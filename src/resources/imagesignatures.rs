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
use crate::registry::admission::attributes::AdmissionAttributes;
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::unreadable::refuse_unsafe_delete;
use crate::registry::verbs::{Create, Delete, Scope};
use crate::registry::write::{AllowCreate, WritePurpose, WriteRequest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

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
    /// Edits the image that a signature belongs to.
    async fn edit(
        &self,
        actor: &Actor,
        name: &SignatureName<'_>,
        purpose: WritePurpose,
        change: impl Fn(&mut Image) -> Result<(), Status> + Send + Sync,
    ) -> Result<(), Status> {
        let images = &self.catalog.images;
        let (strategy, creation) = (images.strategy(), AllowCreate::Free);
        let request = WriteRequest { strategy, creation, purpose };
        let edit = |old: Option<&Image>| {
            let mut image =
                old.ok_or_else(|| Status::not_found(images.resource(), name.image))?.clone();
            change(&mut image)?;
            Ok((image, ()))
        };
        images.write(actor, "", name.image, request, edit).await.map(drop)
    }
}

impl Create<ImageSignature> for SignatureHandler {
    async fn create(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        mut signature: ImageSignature,
    ) -> Result<Written<ImageSignature>, Status> {
        let attributes = AdmissionAttributes::create(
            GroupResource { group: GROUP, name: "imagesignatures" },
            API,
            "",
            &signature,
        );
        self.catalog.storage.admit_virtual(&attributes, actor).await?;
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
        let name = SignatureName::parse(&signature.metadata.name)?;
        let add = |image: &mut Image| image_signatures::add(image, &signature);
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
        let resource = GroupResource { group: GROUP, name: "imagesignatures" };
        refuse_unsafe_delete(resource, at.name(), options)?;
        let name = SignatureName::parse(at.name())?;
        let remove = |image: &mut Image| image_signatures::remove(image, &name);
        self.edit(actor, &name, WritePurpose::Delete, remove).await?;
        Ok(Written::status(Status::success()))
    }
}
