//! `ImageStreamTag` and `ImageTag`: two views on one tag of a stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, ImageLookupPolicy, NamedTagEventList, TagEventCondition, TagReference, object, protobuf};
use crate::meta::protobuf::Message;
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

/// One tag of a stream: what is wanted, what became of it, and the image, found by the name `<stream>:<tag>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageTag")]
pub struct ImageTag {
    /// The stream's metadata, under the name of stream and tag.
    pub metadata: ObjectMeta,
    /// Where the stream's owner wants the tag to come from; absent for a tag that was only pushed.
    pub spec: Option<TagReference>,
    /// The images that the tag has been; absent for a tag that has been none.
    pub status: Option<NamedTagEventList>,
    /// The image that the tag stands for, without its manifest and configuration; absent in lists.
    pub image: Option<Image>,
}

object!(ImageStreamTag);
object!(ImageTag);

impl Kind for ImageStreamTag {
    const KIND: &'static str = "ImageStreamTag";
    const MESSAGE: &'static Message = &protobuf::IMAGE_STREAM_TAG;

    fn default_fields(&mut self) {
        self.tag.iter_mut().for_each(TagReference::default_fields);
    }
}

impl Kind for ImageTag {
    const KIND: &'static str = "ImageTag";
    const MESSAGE: &'static Message = &protobuf::IMAGE_TAG;

    fn default_fields(&mut self) {
        self.spec.iter_mut().for_each(TagReference::default_fields);
    }
}
