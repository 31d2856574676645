//! Layers of images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ImageLayer is one layer of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageLayer")]
pub struct ImageLayer {
    /// Name is the digest of the layer.
    pub name: String,
    /// Size is the size of the layer in bytes, as stored in the registry.
    pub size: i64,
    /// MediaType is the media type of the layer.
    pub media_type: String,
}
