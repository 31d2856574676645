//! `ImageStreamImage`: one image of a stream. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
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

object!(ImageStreamImage);

impl Kind for ImageStreamImage {
    const KIND: &'static str = "ImageStreamImage";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_IMAGE;
}
