//! `ImageStreamMapping`: the request that a registry sends after a push. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// ImageStreamMapping assigns an image to a tag of an image stream. Registries create it after a
/// push. It is not stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamMapping")]
pub struct ImageStreamMapping {
    /// Standard object metadata. The name is the name of the stream.
    pub metadata: ObjectMeta,
    /// Image is the pushed image.
    #[schemars(extend("required" = true))]
    pub image: Image,
    /// Tag is the tag to assign to the image.
    pub tag: String,
}

object!(ImageStreamMapping);

impl Kind for ImageStreamMapping {
    const KIND: &'static str = "ImageStreamMapping";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_MAPPING;
}
