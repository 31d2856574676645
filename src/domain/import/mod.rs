//! Import of images from external registries, without the network: the plan of an import, the
//! images that fetched manifests describe, and the new state of the stream.
//!
//! As openshift-apiserver pkg/image/apiserver/importer and
//! pkg/image/apiserver/registry/imagestreamimport. An import is [planned](ImportPlan), fetched by
//! the caller, and [settled](settle()). Settling may run again on a newer stream, with the same
//! results.

mod failure;
mod image;
mod plan;
mod platform;
mod settle;
mod tag_order;

pub use failure::{ImportFailure, repository_status};
pub use image::{
    ImportedImage, ManifestContent, drop_content, image_of, layers_to_measure, list_of,
    set_layer_sizes,
};
pub use plan::{
    ImageTarget, ImportPlan, ListImportMode, ManifestRequest, ManifestVersion, RegistryTransport,
    RepositoryRequest, default_targets,
};
pub use platform::{PreferredPlatform, choose};
pub use settle::{CHECKED, SettleContext, settle};
pub use tag_order::{TagSelection, select};
