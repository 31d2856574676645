//! The images of a stream that a tag can come from.

use std::collections::HashMap;

use super::stream_index::{self, Matches, StreamIndex};
use crate::api::{GROUP, ImageStream, TagEvent};
use crate::meta::{GroupResource, Status};

const SINGULAR: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreamimage" };

/// The images in the history of a stream, to be found by the beginning of their names.
pub(super) struct SourceImages<'a> {
    index: StreamIndex,
    /// How each image is pulled, as the newest event of the first tag that has it says.
    references: HashMap<&'a str, &'a str>,
}

impl<'a> SourceImages<'a> {
    pub(super) fn of(stream: Option<&'a ImageStream>) -> Self {
        let Some(stream) = stream else {
            return Self { index: StreamIndex::default(), references: HashMap::new() };
        };
        let mut references = HashMap::new();
        for event in stream.status.tags.iter().flat_map(|tag| &tag.items) {
            references.entry(event.image.as_str()).or_insert(event.docker_image_reference.as_str());
        }
        Self { index: StreamIndex::of(stream), references }
    }

    /// The one image that `id` stands for, as an event without time and generation.
    ///
    /// # Errors
    /// None or several: the sentence that clients know.
    pub(super) fn find(&self, id: &str) -> Result<TagEvent, String> {
        match self.index.matches(id) {
            Matches::One(image) => Ok(TagEvent {
                docker_image_reference: self.references.get(image).copied().unwrap_or_default().into(),
                image: image.into(),
                ..TagEvent::default()
            }),
            Matches::None => Err(Status::not_found(SINGULAR, id).message),
            Matches::Several(names) => {
                let told = stream_index::join_matches(&names);
                let why = format!("multiple images match the prefix {}: {told}", crate::meta::field::quote(id));
                Err(Status::conflict(SINGULAR, id, &why).message)
            }
        }
    }
}
