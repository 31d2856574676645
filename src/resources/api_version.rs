//! The API version of all resources.

use crate::api;
use crate::machinery::group_version::GroupVersion;

/// `image.openshift.io/v1`, with the kinds that requests and responses may have.
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
