//! `images`: stored, and shared by the whole cluster.

use std::sync::Arc;

use serde_json::json;

use super::columns::{self, NAME, REFERENCE};
use super::{API, Catalog, catalog, record};
use crate::api::Image;
use crate::domain::{intake, validate};
use crate::meta::{field, path_segment_faults};
use crate::rest::endpoint::{Builder, Endpoint, Scope};
use crate::rest::metadata;
use crate::rest::stored::Strategy;
use crate::rest::table::Columns;
use crate::store::Change;

/// The resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let images = &catalog.images;
    Builder::new(API, "images", Scope::Cluster)
        .names("image", &[])
        .stored()
        .columns(&COLUMNS)
        .create(images)
        .delete(images)
        .get(images)
        .list(images)
        .build()
}

static COLUMNS: Columns<Image> = Columns {
    definitions: &[NAME, columns::text("Image Reference", REFERENCE, 0)],
    cells: |image, _| vec![json!(image.metadata.name), json!(image.docker_image_reference)],
};

/// What is special about stored images.
pub struct ImageStrategy;

impl Strategy<Image> for ImageStrategy {
    fn prepare_create(&self, image: &mut Image) {
        intake::prepare_new(image);
    }

    fn name_faults(&self, name: &str) -> Vec<&'static str> {
        path_segment_faults(name)
    }

    fn validate(&self, image: &Image) -> Vec<field::Error> {
        validate::image(image, &metadata::faults)
    }

    fn present(&self, _: &mut Image) {}

    fn encode(&self, image: &Image) -> Vec<u8> {
        record::encode(image)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Image, String> {
        record::decode(bytes)
    }

    fn companions(&self, old: Option<&Image>, new: Option<&Image>) -> Vec<Change> {
        catalog::family_changes(old, new)
    }
}
