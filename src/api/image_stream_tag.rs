//! `ImageStreamTag`: one tag of a stream and its image. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, ImageLookupPolicy, TagEventCondition, TagReference, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// ImageStreamTag is a tag of an image stream and the image to which it points. Its name has the
/// form `<stream>:<tag>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamTag")]
pub struct ImageStreamTag {
    /// Standard object metadata: identity and labels of the stream, annotations of the spec tag.
    pub metadata: ObjectMeta,
    /// Tag is the spec tag of the stream. Null for a tag that exists only through pushes.
    pub tag: Option<TagReference>,
    /// Generation is the generation of the stream that resulted in the current image.
    pub generation: i64,
    /// LookupPolicy controls whether other resources of the namespace can refer to the stream by
    /// name.
    pub lookup_policy: ImageLookupPolicy,
    /// Conditions is the list of problems with the tag, such as a failed import.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TagEventCondition>,
    /// Image is the image without its manifest and configuration. In lists it has only a name and a
    /// pull spec.
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
