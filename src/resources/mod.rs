//! The resources of `image.openshift.io/v1`, one file a line of the list below.
//!
//! Here, and only here, storage, Kubernetes' rules and image logic meet.

use std::sync::Arc;

use crate::api;
use crate::cluster::{Namespaces, Secrets};
use crate::endpoints::serve::Api;
use crate::machinery::group_version::GroupVersion;
use crate::registry::permission::Permissions;

pub mod agreement;
pub mod catalog;
mod client;
mod columns;
pub mod families;
pub mod fresh;
mod images;
mod imagesignatures;
mod imagestreamimages;
mod imagestreammappings;
mod imagestreams;
mod imagestreams_layers;
mod imagestreams_secrets;
mod imagestreams_status;
mod imagestreamtags;
mod imagetags;
mod join;
mod lists;
mod marks;
mod record;
mod rows;
pub mod shown;
mod strategies;
mod superseded;
mod tag;
mod tag_list;
pub mod transfer;
pub mod usage;

pub use catalog::Catalog;
pub use client::{Client, ResourceClient};

/// The API that all resources belong to.
pub const API: GroupVersion = GroupVersion {
    group: api::GROUP,
    name: api::GROUP_VERSION,
    version: api::VERSION,
    kinds: &[
        "Image",
        "ImageSignature",
        "ImageStream",
        "ImageStreamImage",
        "ImageStreamImport",
        "ImageStreamLayers",
        "ImageStreamMapping",
        "ImageStreamTag",
        "ImageTag",
        "Secret",
    ],
};

/// Everything that is served, for objects in these namespaces and users with these permissions.
pub fn all(catalog: &Arc<Catalog>, namespaces: Namespaces, secrets: Secrets, permissions: Permissions) -> Api {
    let endpoints = vec![
        images::endpoint(catalog),
        imagesignatures::endpoint(catalog),
        imagestreamimages::endpoint(catalog),
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
