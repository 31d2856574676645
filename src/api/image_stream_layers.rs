//! `ImageStreamLayers`: the images and blobs of a stream.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{nulls, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// ImageStreamLayers describes the images in the history of an image stream and their blobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamLayers")]
pub struct ImageStreamLayers {
    /// Metadata of the stream.
    pub metadata: ObjectMeta,
    /// Blobs is a map of all layers, configurations and manifests in the stream, keyed by digest.
    pub blobs: BTreeMap<String, ImageLayerData>,
    /// Images is a map of the blobs of each image, keyed by the name of the image.
    pub images: BTreeMap<String, ImageBlobReferences>,
}

/// ImageBlobReferences lists the blobs of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageBlobReferences")]
pub struct ImageBlobReferences {
    /// ImageMissing is true if the stream refers to the image but the Image object does not exist.
    pub image_missing: bool,
    /// Layers is the list of digests of the layers, lowest first.
    #[serde(serialize_with = "nulls::list", deserialize_with = "nulls::or_empty")]
    #[schemars(extend("nullable" = true))]
    pub layers: Vec<String>,
    /// Config is the digest of the image configuration. Null if the image has none.
    pub config: Option<String>,
    /// Manifests is the list of names of the images in a manifest list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
}

/// ImageLayerData describes a blob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageLayerData")]
pub struct ImageLayerData {
    /// Size is the size of the blob in bytes. Null if it is not known.
    pub size: Option<i64>,
    /// MediaType is the media type of the blob.
    pub media_type: String,
}

object!(ImageStreamLayers);

impl Kind for ImageStreamLayers {
    const KIND: &'static str = "ImageStreamLayers";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_LAYERS;
}
