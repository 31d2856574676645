//! `ImageTag`: one tag of a stream with spec, status and image. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Image, NamedTagEventList, TagReference, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta};

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

object!(ImageTag);

impl Kind for ImageTag {
    const KIND: &'static str = "ImageTag";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_TAG;

    fn default_fields(&mut self) {
        self.spec.iter_mut().for_each(TagReference::default_fields);
    }
}
