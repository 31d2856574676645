//! The version of the API that all resources belong to.

use crate::api;
use crate::machinery::group_version::GroupVersion;

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
