//! Kinds that are not stored: views on a stream and its images, and what a push sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, object, protobuf};
use crate::meta::protobuf::Message;
use crate::meta::{Kind, ObjectMeta};

/// One image of a stream, found by the name `<stream>@<digest>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamImage")]
pub struct ImageStreamImage {
    /// The name that was asked for, the stream's namespace and annotations, and the image's creation time.
    pub metadata: ObjectMeta,
    /// The image, without its manifest and configuration.
    pub image: Image,
}

/// What a registry sends after a push: an image, and the tag of a stream that it becomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamMapping")]
pub struct ImageStreamMapping {
    /// Standard object metadata; the name is that of the stream.
    pub metadata: ObjectMeta,
    /// The image.
    #[schemars(extend("required" = true))]
    pub image: Image,
    /// The tag that the image becomes.
    pub tag: String,
}

object!(ImageStreamImage);
object!(ImageStreamMapping);

impl Kind for ImageStreamImage {
    const KIND: &'static str = "ImageStreamImage";
    const MESSAGE: &'static Message = &protobuf::IMAGE_STREAM_IMAGE;
}

impl Kind for ImageStreamMapping {
    const KIND: &'static str = "ImageStreamMapping";
    const MESSAGE: &'static Message = &protobuf::IMAGE_STREAM_MAPPING;
}
