//! Images of a stream as sources of tags.

use std::collections::HashMap;

use super::stream_index::{self, Matches, StreamIndex};
use crate::api::{GROUP, ImageStream, TagEvent};
use crate::meta::{GroupResource, Status};

const SINGULAR: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreamimage" };

/// Index of the images in the history of a stream.
pub(super) struct SourceImages<'a> {
    index: StreamIndex,
    /// Pull spec of each image, from the oldest event of the first tag that has it:
    /// `ResolveImageID` in openshift-apiserver pkg/image/apiserver/internal/imageutil/helpers.go
    /// keeps the last match.
    references: HashMap<&'a str, &'a str>,
}

impl<'a> SourceImages<'a> {
    pub(super) fn of(stream: Option<&'a ImageStream>) -> Self {
        let Some(stream) = stream else {
            return Self { index: StreamIndex::default(), references: HashMap::new() };
        };
        let mut references = HashMap::new();
        for tag in &stream.status.tags {
            for event in tag.items.iter().rev() {
                let reference = event.docker_image_reference.as_str();
                references.entry(event.image.as_str()).or_insert(reference);
            }
        }
        Self { index: StreamIndex::of(stream), references }
    }

    /// Returns the image with a name or digest that begins with `id`, as an event without time and
    /// generation.
    ///
    /// # Errors
    /// The text of the error if no or several images match, as of `ResolveImageID` in
    /// openshift-apiserver pkg/image/apiserver/internal/imageutil/helpers.go.
    pub(super) fn find(&self, id: &str) -> Result<TagEvent, String> {
        match self.index.matches(id) {
            Matches::One(image) => Ok(TagEvent {
                docker_image_reference: self
                    .references
                    .get(image)
                    .copied()
                    .unwrap_or_default()
                    .into(),
                image: image.into(),
                ..TagEvent::default()
            }),
            Matches::None => Err(Status::not_found(SINGULAR, id).message),
            Matches::Several(names) => {
                let shown = stream_index::join_matches(&names);
                let reason = format!(
                    "multiple images match the prefix {}: {shown}",
                    crate::meta::field::quote(id)
                );
                Err(Status::conflict(SINGULAR, id, &reason).message)
            }
        }
    }
}
