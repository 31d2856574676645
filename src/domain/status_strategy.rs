//! Strategy of the `status` subresource of image streams, as `StatusStrategy` in
//! openshift-apiserver pkg/image/apiserver/registry/imagestream/strategy.go.

use std::collections::HashSet;

use super::tag_history::MaxTagHistory;
use super::{reference, tags, validate};
use crate::api::{ImageStream, TagEvent};
use crate::meta::field;

/// Resets the fields that a status update may not change: spec tags and spec repository. Lookup
/// policy, labels and annotations may change.
pub fn reset_fields(old: &ImageStream, new: &mut ImageStream) {
    new.spec.tags.clone_from(&old.spec.tags);
    new.spec.docker_image_repository.clone_from(&old.spec.docker_image_repository);
    new.unproved.clone_from(&old.unproved);
}

/// Sets the generation of new events, removes tag and digest from the repository, and truncates
/// changed histories, as `updateObservedGenerationForStatusUpdate` in Go.
pub fn prepare_for_update(old: &ImageStream, new: &mut ImageStream, max_history: MaxTagHistory) {
    let repository = &mut new.status.docker_image_repository;
    *repository = reference::without_tag_and_digest(repository);
    let generations: Vec<Option<i64>> = new
        .status
        .tags
        .iter()
        .map(|tag| generation_of(old, &tag.tag, tag.items.first()?))
        .collect();
    for (tag, generation) in new.status.tags.iter_mut().zip(generations) {
        if let (Some(event), Some(generation)) = (tag.items.first_mut(), generation) {
            event.generation = generation;
        }
        if tags::history(old, &tag.tag).is_none_or(|before| before.items != tag.items) {
            max_history.truncate(&mut tag.items);
        }
    }
}

/// Returns the generation for the newest event of a tag if the writer did not set it.
///
/// An unchanged event, or the first of a history, gets the generation of the stream; a changed one
/// that of the spec tag, if there is one.
fn generation_of(old: &ImageStream, tag: &str, event: &TagEvent) -> Option<i64> {
    if event.generation != 0 {
        return None;
    }
    let spec_tag = tags::spec_tag(old, tag).and_then(|spec_tag| spec_tag.generation);
    match tags::latest_event(old, tag) {
        Some(before) if is_change(before, event) => {
            Some(spec_tag.unwrap_or(old.metadata.generation))
        }
        _ => Some(old.metadata.generation),
    }
}

fn is_change(before: &TagEvent, event: &TagEvent) -> bool {
    before.image != event.image
        || before.docker_image_reference != event.docker_image_reference
        || before.generation > event.generation
}

/// Returns errors for invalid pull specs in the status that are not in `old`, as
/// `ValidateImageStreamStatusUpdateWithWhitelister` in Go.
pub fn validate_references(old: &ImageStream, new: &ImageStream) -> field::Errors {
    let events = old.status.tags.iter().flat_map(|tag| &tag.items);
    let known: HashSet<&str> = events.map(|event| event.docker_image_reference.as_str()).collect();
    let tags = new
        .status
        .tags
        .iter()
        .flat_map(|tag| tag.items.iter().enumerate().map(move |(at, event)| (tag, at, event)));
    tags.filter(|(_, _, event)| !known.contains(event.docker_image_reference.as_str()))
        .filter_map(|(tag, at, event)| {
            let path = format_args!("status.tags[{}].items[{at}].dockerImageReference", tag.tag);
            validate::reference_form(path, &event.docker_image_reference)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::api::{NamedTagEventList, TagReference};

    fn stream(generation: i64, events: &[(&str, i64)]) -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.generation = generation;
        let items = events.iter().map(|(image, generation)| TagEvent {
            image: (*image).into(),
            docker_image_reference: (*image).into(),
            generation: *generation,
            created: None,
        });
        stream.status.tags.push(NamedTagEventList {
            tag: "t".into(),
            items: items.collect(),
            conditions: vec![],
        });
        stream
    }

    fn numbered(old: &ImageStream, events: &[(&str, i64)]) -> i64 {
        let mut new = stream(9, events);
        prepare_for_update(old, &mut new, MaxTagHistory(None));
        new.status.tags[0].items[0].generation
    }

    #[test]
    fn events_without_a_generation_get_one() {
        let mut old = stream(5, &[("a", 0)]);
        assert_eq!(numbered(&old, &[("a", 0)]), 5);
        assert_eq!(numbered(&old, &[("b", 0)]), 5);
        assert_eq!(numbered(&old, &[("b", 7)]), 7);
        old.spec.tags.push(TagReference {
            name: "t".into(),
            generation: Some(3),
            ..TagReference::default()
        });
        assert_eq!(numbered(&old, &[("b", 0)]), 3);
        assert_eq!(numbered(&stream(5, &[]), &[("b", 0)]), 5);
    }

    #[test]
    fn changed_histories_are_truncated() {
        let kept = |old: &[(&str, i64)], new: &[(&str, i64)]| {
            let (old, mut new) = (stream(1, old), stream(1, new));
            prepare_for_update(&old, &mut new, MaxTagHistory(NonZeroUsize::new(2)));
            new.status.tags[0].items.iter().map(|event| event.image.clone()).collect::<Vec<_>>()
        };
        let three = [("c", 3), ("b", 2), ("a", 1)];
        assert_eq!(kept(&[("b", 2), ("a", 1)], &three), ["c", "b"]);
        assert_eq!(kept(&three, &three), ["c", "b", "a"], "the history did not change");
    }

    #[test]
    fn repository_has_no_tag_and_no_digest() {
        let mut new = stream(1, &[]);
        new.status.docker_image_repository = "r.io/a/b:t".into();
        prepare_for_update(&stream(1, &[]), &mut new, MaxTagHistory(None));
        assert_eq!(new.status.docker_image_repository, "r.io/a/b");
    }

    #[test]
    fn only_new_references_are_validated() {
        let old = stream(1, &[("A B", 1)]);
        assert!(validate_references(&old, &stream(1, &[("A B", 1)])).is_empty());
        let errors = field::join(&validate_references(&old, &stream(1, &[("", 1)])));
        let text = "status.tags[t].items[0].dockerImageReference: Invalid value: \"\": repository name must have at least one component";
        assert_eq!(errors, text);
    }
}
