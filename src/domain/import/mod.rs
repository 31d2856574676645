//! Import of images from external registries, without the network: the plan of an import, the
//! images that fetched manifests describe, and the new state of the stream.
//!
//! As openshift-apiserver pkg/image/apiserver/importer and
//! pkg/image/apiserver/registry/imagestreamimport. An import is [planned](ImportPlan), fetched by
//! the caller, and [settled](settle()). Settling may run again on a newer stream, with the same
//! results.

mod failure;
mod image;
mod need;
mod plan;
mod platform;
mod retry;
mod settle;
mod source;
mod tag_order;

pub use failure::{ImportFailure, repository_status};
pub use image::{
    ImportedImage, ManifestContent, drop_content, image_of, layers_to_measure, list_of,
    set_layer_sizes,
};
pub use need::{
    ImportNeed, ImportTarget, NeededImport, need_of, needed_imports, pull_spec, repository_import,
    tag_import,
};
pub use plan::{
    ImageTarget, ImportPlan, ListImportMode, ManifestRequest, ManifestVersion, RegistryTransport,
    RepositoryRequest, default_targets,
};
pub use platform::{PreferredPlatform, choose};
pub use retry::{DelayRange, FailureClass, RetryPolicy};
pub use settle::{CHECKED, RepositoryMark, SettleContext, SettleScope, settle};
pub use source::{ImportSource, ImportSources};
pub use tag_order::{TagSelection, select};
