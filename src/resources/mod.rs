//! The resources of `image.openshift.io/v1`, one file each.
//!
//! Only this module combines storage, the rules of Kubernetes and image logic.

use std::sync::Arc;

use crate::cluster::{Namespaces, Secrets};
use crate::endpoints::serve::Api;
use crate::registry::permission::Permissions;

mod api_version;
pub mod catalog;
mod client;
mod columns;
pub mod consistency;
mod derived_rows;
pub mod image_closures;
pub mod image_view;
mod images;
mod imagesignatures;
mod imagestreamimages;
mod imagestreamimports;
mod imagestreammappings;
mod imagestreams;
mod imagestreams_layers;
mod imagestreams_secrets;
mod imagestreams_status;
mod imagestreamtags;
mod imagetags;
pub mod import;
pub mod import_export;
mod import_sources;
mod internal_field;
pub mod limit_ranges;
mod list_children;
mod manifest_lists;
pub mod openshift_layout;
mod packed_view;
mod push_rights;
pub mod revision_cache;
mod shared_streams;
pub mod standalone;
mod stored_entry;
mod stored_image;
mod strategies;
pub mod stream_quota;
mod stream_view;
mod superseded_images;
mod tag_handler;
mod tag_list;
mod tag_watch;
mod tag_write_strategy;
pub mod transfer;
pub mod usage;

pub use api_version::API;
pub use catalog::Catalog;
pub use client::{Client, ResourceClient};
pub use import::ImageImporter;

/// The API with all of its endpoints.
pub fn all(
    catalog: &Arc<Catalog>,
    namespaces: Namespaces,
    secrets: Secrets,
    importer: Arc<ImageImporter>,
    permissions: Permissions,
) -> Api {
    let endpoints = vec![
        images::endpoint(catalog),
        imagesignatures::endpoint(catalog),
        imagestreamimages::endpoint(catalog),
        imagestreamimports::endpoint(catalog, importer),
        imagestreammappings::endpoint(catalog),
        imagestreams::endpoint(catalog),
        imagestreams_layers::endpoint(catalog),
        imagestreams_secrets::endpoint(secrets),
        imagestreams_status::endpoint(catalog),
        imagestreamtags::endpoint(catalog),
        imagetags::endpoint(catalog),
    ];
    Api::new(endpoints, namespaces, permissions)
}
