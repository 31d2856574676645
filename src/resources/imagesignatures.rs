//! `imagesignatures`: who vouches for an image, by `<image>@<signature>`. Kept inside of the image.

use std::sync::Arc;

use super::{API, Catalog};
use crate::api::{GROUP, Image, ImageSignature};
use crate::domain::signatures::{self, SignatureName};
use crate::domain::validate;
use crate::meta::{Kind, Resource, Status};
use crate::rest::cx::Cx;
use crate::rest::delete;
use crate::rest::edit;
use crate::rest::endpoint::{Builder, Create, Delete, Endpoint, Scope};
use crate::rest::metadata;
use crate::rest::options::{DryRun, Options};
use crate::rest::reply::Written;
use crate::rest::schema::Schema;
use crate::rest::write::{Making, Path};

/// The resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(Signatures { catalog: catalog.clone(), schema: Schema::of::<ImageSignature>() });
    Builder::new(API, "imagesignatures", Scope::Cluster)
        .names("imagesignature", &[])
        .create(&handler)
        .delete(&handler)
        .build()
}

struct Signatures {
    catalog: Arc<Catalog>,
    schema: Schema,
}

impl Signatures {
    /// Changes the image that a signature belongs to.
    async fn edit(
        &self,
        cx: &Cx,
        name: &SignatureName<'_>,
        dry_run: DryRun,
        change: impl Fn(&mut Image) -> Result<(), Status> + Send + Sync,
    ) -> Result<(), Status> {
        let images = &self.catalog.images;
        let path = Path { rules: images.strategy(), dry_run, making: Making::Free };
        let edit = |old: Option<&Image>| {
            let mut image = old.ok_or_else(|| Status::not_found(images.resource(), name.image))?.clone();
            change(&mut image)?;
            Ok((image, ()))
        };
        images.write(cx, name.image, path, edit).await.map(drop)
    }
}

impl Create<ImageSignature> for Signatures {
    async fn create(
        &self,
        cx: &Cx,
        options: &Options,
        mut signature: ImageSignature,
    ) -> Result<Written<ImageSignature>, Status> {
        metadata::prepare_view(cx, &mut signature.metadata)?;
        signatures::prepare(&mut signature);
        let writer = options.writer(cx, API);
        let managed = edit::managed_fields(&self.schema, None, &signature, API, &writer)?;
        signature.metadata.managed_fields = managed;
        let mut faults = metadata::faults(&signature.metadata);
        faults.append(validate::signature(&signature));
        if !faults.is_empty() {
            let kind = Resource { group: GROUP, name: ImageSignature::KIND };
            return Err(Status::invalid(kind, &signature.metadata.name, &faults));
        }
        let name = SignatureName::parse(&signature.metadata.name)?;
        self.edit(cx, &name, options.dry_run, |image| signatures::add(image, &signature)).await?;
        Ok(Written::made(signature.clone()))
    }
}

impl Delete<ImageSignature> for Signatures {
    async fn delete(&self, cx: &Cx) -> Result<Written<ImageSignature>, Status> {
        let name = SignatureName::parse(cx.name())?;
        let options = delete::options(cx)?;
        self.edit(cx, &name, delete::dry_run(&options), |image| signatures::remove(image, &name)).await?;
        Ok(Written::status(Status::success()))
    }
}
