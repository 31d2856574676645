//! Comparison of the views of a tag in two versions of a stream.
//!
//! Views repeat metadata of their stream. The resourceVersion does not count, and neither do
//! `generation` and `managedFields`, which only ImageTags repeat: they follow writes of other tags.

use super::tag_view::pull_spec;
use super::tags;
use crate::api::ImageStream;
use crate::meta::ObjectMeta;

/// Returns true if ImageStreamTags of both versions repeat the same content of the stream.
pub fn is_same_stream_of_stream_tags(before: &ImageStream, after: &ImageStream) -> bool {
    before.metadata.uid == after.metadata.uid
        && before.metadata.labels == after.metadata.labels
        && before.spec.lookup_policy == after.spec.lookup_policy
}

/// Returns true if the ImageStreamTag of a tag that points to an image in both versions differs only
/// in content of the stream.
pub fn is_same_stream_tag(before: &ImageStream, after: &ImageStream, tag: &str) -> bool {
    let event = |stream| {
        tags::latest_event(stream, tag).map(|event| {
            (&event.image, event.generation, event.created, pull_spec(stream, tag, event))
        })
    };
    let conditions = |stream| tags::history(stream, tag).map(|history| &history.conditions);
    tags::spec_tag(before, tag) == tags::spec_tag(after, tag)
        && conditions(before) == conditions(after)
        && event(before) == event(after)
}

/// Returns true if ImageTags of both versions repeat the same content of the stream.
pub fn is_same_stream_of_image_tags(before: &ImageStream, after: &ImageStream) -> bool {
    repeated(&before.metadata) == repeated(&after.metadata)
}

/// Returns true if the ImageTag of a tag differs only in content of the stream.
pub fn is_same_image_tag(before: &ImageStream, after: &ImageStream, tag: &str) -> bool {
    tags::spec_tag(before, tag) == tags::spec_tag(after, tag)
        && tags::history(before, tag) == tags::history(after, tag)
}

/// The metadata of a stream that count in its ImageTags.
fn repeated(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        resource_version: String::new(),
        generation: 0,
        managed_fields: Vec::new(),
        ..metadata.clone()
    }
}
