//! `images`: stored, cluster-scoped.

use std::sync::Arc;

use serde_json::json;

use super::api_version::API;
use super::catalog::Catalog;
use super::columns::{self, NAME, REFERENCE};
use crate::api::Image;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::endpoints::table::Columns;
use crate::registry::verbs::Scope;

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let images = &catalog.images;
    Builder::new(API, "images", Scope::Cluster)
        .names("image", &[])
        .stored()
        .columns(&COLUMNS)
        .create(images)
        .delete(images)
        .delete_collection(images)
        .get(images)
        .list(images)
        .update(images)
        .watch(images)
        .build()
}

static COLUMNS: Columns<Image> = Columns {
    definitions: &[NAME, columns::text("Image Reference", REFERENCE, 0)],
    cells: |image, _| vec![json!(image.metadata.name), json!(image.docker_image_reference)],
};
