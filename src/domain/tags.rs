//! Lookup of a stream's tags by name.
//!
//! Decoding leaves both lists of tags sorted by name and without duplicates.

use crate::api::{ImageStream, NamedTagEventList, TagEvent, TagReference};

/// Default tag.
pub const DEFAULT: &str = "latest";

/// Returns [`DEFAULT`] for an empty tag.
pub(super) fn or_default(tag: &str) -> &str {
    if tag.is_empty() { DEFAULT } else { tag }
}

/// Returns the spec of `tag`.
pub fn spec_tag<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagReference> {
    spec_tag_index(&stream.spec.tags, tag).ok().map(|at| &stream.spec.tags[at])
}

/// Returns the history of `tag`.
pub fn history<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a NamedTagEventList> {
    history_index(&stream.status.tags, tag).ok().map(|at| &stream.status.tags[at])
}

/// Returns the newest event of `tag`.
pub fn latest_event<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagEvent> {
    history(stream, tag)?.items.first()
}

/// Returns the index of a spec tag, or `Err` with the index at which to insert it.
pub(super) fn spec_tag_index(tags: &[TagReference], tag: &str) -> Result<usize, usize> {
    tags.binary_search_by(|each| each.name.as_str().cmp(tag))
}

/// Returns the index of a tag's history, or `Err` with the index at which to insert it.
pub(super) fn history_index(tags: &[NamedTagEventList], tag: &str) -> Result<usize, usize> {
    tags.binary_search_by(|each| each.tag.as_str().cmp(tag))
}
