//! `ImageTag`: one tag of a stream with spec, status and image. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, NamedTagEventList, TagReference, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

/// ImageTag is a tag of an image stream with its spec, history and image. Its name has the form
/// `<stream>:<tag>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageTag")]
pub struct ImageTag {
    /// Metadata of the stream, with the name of the tag.
    pub metadata: ObjectMeta,
    /// Spec is the spec tag of the stream. Null for a tag that exists only through pushes.
    pub spec: Option<TagReference>,
    /// Status is the history of the tag. Null if the tag has never pointed to an image.
    pub status: Option<NamedTagEventList>,
    /// Image is the current image without its manifest and configuration. Null in lists.
    pub image: Option<Image>,
}

object!(ImageTag);

impl Kind for ImageTag {
    const KIND: &'static str = "ImageTag";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_TAG;

    fn default_fields(&mut self) {
        self.spec.iter_mut().for_each(TagReference::default_fields);
    }
}
