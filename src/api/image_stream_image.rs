//! `ImageStreamImage`: one image of a stream. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// ImageStreamImage is an image of an image stream. Its name has the form `<stream>@<digest>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamImage")]
pub struct ImageStreamImage {
    /// Standard object metadata: the requested name, the namespace and annotations of the stream,
    /// and the creation time of the image.
    pub metadata: ObjectMeta,
    /// Image is the image without its manifest and configuration.
    pub image: Image,
}

object!(ImageStreamImage);

impl Kind for ImageStreamImage {
    const KIND: &'static str = "ImageStreamImage";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_IMAGE;
}
