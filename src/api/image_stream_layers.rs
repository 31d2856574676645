//! `ImageStreamLayers`: which images a stream has, and what they are made of.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{nulls, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// The images in the history of a stream, their parts, and the blobs of all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamLayers")]
pub struct ImageStreamLayers {
    /// The stream's metadata.
    pub metadata: ObjectMeta,
    /// What is known of each blob, by its digest: layers, configurations and manifests.
    pub blobs: BTreeMap<String, ImageLayerData>,
    /// What each image is made of, by its name.
    pub images: BTreeMap<String, ImageBlobReferences>,
}

/// What one image is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageBlobReferences")]
pub struct ImageBlobReferences {
    /// Whether the image is in the stream, but no Image object describes it.
    pub image_missing: bool,
    /// Digests of the layers, lowest first.
    #[serde(serialize_with = "nulls::list", deserialize_with = "nulls::or_empty")]
    pub layers: Vec<String>,
    /// Digest of the configuration, for images that have one.
    pub config: Option<String>,
    /// For an image that lists images: the names of its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
}

/// What is known of a blob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageLayerData")]
pub struct ImageLayerData {
    /// Size in bytes as the registry stores it; absent where it is not known.
    pub size: Option<i64>,
    /// Media type of the blob.
    pub media_type: String,
}

object!(ImageStreamLayers);

impl Kind for ImageStreamLayers {
    const KIND: &'static str = "ImageStreamLayers";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_LAYERS;
}
