//! `ImageStreamTag`: one tag of a stream and its image. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, ImageLookupPolicy, TagEventCondition, TagReference, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// One tag of a stream with the image that it stands for, found by the name `<stream>:<tag>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamTag")]
pub struct ImageStreamTag {
    /// Name of stream and tag, identity and labels of the stream, annotations of the wanted tag.
    pub metadata: ObjectMeta,
    /// Where the stream's owner wants the tag to come from; absent for a tag that was only pushed.
    pub tag: Option<TagReference>,
    /// Generation of the stream that led to the image.
    pub generation: i64,
    /// Whether other objects of the namespace may use the stream's name in place of an image reference.
    pub lookup_policy: ImageLookupPolicy,
    /// What stands in the way of the tag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TagEventCondition>,
    /// The image, without its manifest and configuration. In lists only its name and how it is pulled.
    pub image: Image,
}

object!(ImageStreamTag);

impl Kind for ImageStreamTag {
    const KIND: &'static str = "ImageStreamTag";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_TAG;

    fn default_fields(&mut self) {
        self.tag.iter_mut().for_each(TagReference::default_fields);
    }
}
