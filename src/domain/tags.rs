//! Finding the tags of a stream by their names.
//!
//! Both lists of tags are in byte order of the names, each name at most once, as decoding leaves them.

use crate::api::{ImageStream, NamedTagEventList, TagEvent, TagReference};

/// The tag that a name without one means.
pub const DEFAULT: &str = "latest";

/// A tag's name where an empty one means the [default](DEFAULT).
pub(super) fn or_default(tag: &str) -> &str {
    if tag.is_empty() { DEFAULT } else { tag }
}

/// The wanted form of `tag`, if the stream's owner has named it.
pub fn spec_tag<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagReference> {
    spec_tag_index(&stream.spec.tags, tag).ok().map(|at| &stream.spec.tags[at])
}

/// The history of `tag`, if it has been something, or something stands in its way.
pub fn history<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a NamedTagEventList> {
    history_index(&stream.status.tags, tag).ok().map(|at| &stream.status.tags[at])
}

/// The newest event of `tag`.
pub fn latest_event<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagEvent> {
    history(stream, tag)?.items.first()
}

/// The place of a wanted tag, or else where it belongs.
pub(super) fn spec_tag_index(tags: &[TagReference], tag: &str) -> Result<usize, usize> {
    tags.binary_search_by(|each| each.name.as_str().cmp(tag))
}

/// The place of a tag's history, or else where it belongs.
pub(super) fn history_index(tags: &[NamedTagEventList], tag: &str) -> Result<usize, usize> {
    tags.binary_search_by(|each| each.tag.as_str().cmp(tag))
}
