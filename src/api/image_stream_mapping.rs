//! `ImageStreamMapping`: the request that a registry sends after a push. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

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

object!(ImageStreamMapping);

impl Kind for ImageStreamMapping {
    const KIND: &'static str = "ImageStreamMapping";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_MAPPING;
}
