//! History of tags in the status of a stream, newest event first, as openshift-apiserver
//! pkg/image/apiserver/internal/imageutil/helpers.go.
//!
//! Times are arguments. The history is neither sorted nor deduplicated.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;

use super::tag_source::TagSource;
use super::tags::{history_index, latest_event};
use crate::api::{ImageStream, NamedTagEventList, TagEvent};

/// Maximum number of events per tag. `None` keeps all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxTagHistory(pub Option<NonZeroUsize>);

/// Effect of an event on the history of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The newest event is equal; nothing changed.
    Unchanged,
    /// The newest event got the generation of the new one.
    Confirmed,
    /// The newest event got the image or the pull spec of the new one, and its generation.
    Rewritten,
    /// The event was added as the newest one.
    Added,
}

impl PushOutcome {
    /// Returns true if the history changed.
    pub fn is_change(self) -> bool {
        self != Self::Unchanged
    }
}

/// Adds `event` to the history of `tag`, as `AddTagEventToImageStream` in Go. A change clears the
/// conditions.
///
/// An event with the image or the pull spec of the newest one overwrites it and keeps its time.
/// Events without an image count as having the same one. Events beyond `max_history` are dropped,
/// oldest first.
pub fn push(
    tags: &mut Vec<NamedTagEventList>,
    tag: &str,
    event: TagEvent,
    max_history: MaxTagHistory,
) -> PushOutcome {
    let history = get_or_insert(tags, tag);
    let pushed = merge(&mut history.items, event);
    if pushed.is_change() {
        history.conditions.clear();
        max_history.truncate(&mut history.items);
    }
    pushed
}

/// Adds the event that was pushed to `tag` to all spec tags that track it, as `UpdateTrackingTags`
/// in Go, and returns the changed tags in the order of their names.
///
/// Updates one level only: tags that track a tracking tag keep their history.
pub fn push_to_tracking_tags(
    stream: &mut ImageStream,
    tag: &str,
    event: &TagEvent,
    max_history: MaxTagHistory,
) -> Vec<String> {
    let mut tracking = tracking_tags(stream).remove(tag).unwrap_or_default();
    insert_empty(&mut stream.status.tags, tracking.iter().map(String::as_str));
    tracking.retain(|tracker| {
        push(&mut stream.status.tags, tracker, event.clone(), max_history).is_change()
    });
    tracking
}

/// Updates the tags that track a tag whose newest event differs from `old`, and transitively the
/// tags that track those.
pub(super) fn propagate(
    stream: &mut ImageStream,
    old: Option<&ImageStream>,
    max_history: MaxTagHistory,
) {
    let tracking = tracking_tags(stream);
    if tracking.is_empty() {
        return;
    }
    let is_other = |tag: &&NamedTagEventList| {
        let before = old.and_then(|old| latest_event(old, &tag.tag));
        tag.items.first().is_some_and(|event| before != Some(event))
    };
    let mut pending: VecDeque<String> =
        stream.status.tags.iter().filter(is_other).map(|tag| tag.tag.clone()).collect();
    let mut seen: HashSet<String> = pending.iter().cloned().collect();
    let reached = reached(&pending, &tracking);
    let added = insert_empty(&mut stream.status.tags, reached.into_iter());
    while let Some(tag) = pending.pop_front() {
        let (Some(event), Some(tracking)) =
            (latest_event(stream, &tag).cloned(), tracking.get(&tag))
        else {
            continue;
        };
        for tracker in tracking {
            let is_change =
                push(&mut stream.status.tags, tracker, event.clone(), max_history).is_change();
            if is_change && seen.insert(tracker.clone()) {
                pending.push_back(tracker.clone());
            }
        }
    }
    remove_empty(&mut stream.status.tags, &added);
}

/// Returns the tags that directly or transitively track one of `pending`.
fn reached<'a>(
    pending: &VecDeque<String>,
    tracking: &'a HashMap<String, Vec<String>>,
) -> HashSet<&'a str> {
    let mut reached = HashSet::new();
    let mut next: Vec<&str> = pending
        .iter()
        .filter_map(|tag| tracking.get_key_value(tag))
        .map(|(tag, _)| &**tag)
        .collect();
    while let Some(tag) = next.pop() {
        let more = tracking.get(tag).into_iter().flatten();
        next.extend(more.map(String::as_str).filter(|tracker| reached.insert(*tracker)));
    }
    reached
}

/// Returns the spec tags whose source is a tag of the same stream, by that tag.
fn tracking_tags(stream: &ImageStream) -> HashMap<String, Vec<String>> {
    let mut tracking: HashMap<String, Vec<String>> = HashMap::new();
    for tag in &stream.spec.tags {
        let Some(Ok(TagSource::Tag(key, source))) =
            tag.from.as_ref().map(|from| TagSource::read(from, stream))
        else {
            continue;
        };
        if key.is_of(stream) {
            tracking.entry(source.to_owned()).or_default().push(tag.name.clone());
        }
    }
    tracking
}

/// Inserts an empty history for each tag without one, in one pass over the list, and returns the
/// names of these tags.
pub(super) fn insert_empty<'a>(
    tags: &mut Vec<NamedTagEventList>,
    names: impl Iterator<Item = &'a str>,
) -> HashSet<&'a str> {
    let missing: HashSet<&str> = names.filter(|name| history_index(tags, name).is_err()).collect();
    if !missing.is_empty() {
        tags.extend(missing.iter().copied().map(empty));
        tags.sort_by(|a, b| a.tag.cmp(&b.tag));
    }
    missing
}

/// Removes the histories that [`insert_empty`] added and that are still empty.
pub(super) fn remove_empty(tags: &mut Vec<NamedTagEventList>, added: &HashSet<&str>) {
    tags.retain(|tag| {
        let is_empty = tag.items.is_empty() && tag.conditions.is_empty();
        !(is_empty && added.contains(tag.tag.as_str()))
    });
}

fn empty(tag: &str) -> NamedTagEventList {
    NamedTagEventList { tag: tag.into(), ..NamedTagEventList::default() }
}

/// Returns the history of `tag`. Inserts an empty one in order if there is none.
pub(super) fn get_or_insert<'a>(
    tags: &'a mut Vec<NamedTagEventList>,
    tag: &str,
) -> &'a mut NamedTagEventList {
    let at = history_index(tags, tag).unwrap_or_else(|at| {
        tags.insert(at, empty(tag));
        at
    });
    &mut tags[at]
}

impl MaxTagHistory {
    /// Drops the oldest events beyond the maximum.
    pub fn truncate(self, items: &mut Vec<TagEvent>) {
        items.truncate(self.0.map_or(usize::MAX, NonZeroUsize::get));
    }
}

fn merge(items: &mut Vec<TagEvent>, event: TagEvent) -> PushOutcome {
    let Some(newest) = items.first_mut() else {
        items.push(event);
        return PushOutcome::Added;
    };
    let same_reference = newest.docker_image_reference == event.docker_image_reference;
    let same_image = newest.image == event.image;
    match (same_reference, same_image) {
        (true, true) if newest.generation == event.generation => return PushOutcome::Unchanged,
        (true, true) => {}
        (true, false) => newest.image = event.image,
        (false, true) => newest.docker_image_reference = event.docker_image_reference,
        (false, false) => {
            items.insert(0, event);
            return PushOutcome::Added;
        }
    }
    newest.generation = event.generation;
    match same_reference && same_image {
        true => PushOutcome::Confirmed,
        false => PushOutcome::Rewritten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{ObjectReference, TagEventCondition, TagReference},
        meta::Time,
    };

    const ALL: MaxTagHistory = MaxTagHistory(None);

    fn event(reference: &str, image: &str, generation: i64) -> TagEvent {
        TagEvent {
            created: Some(Time::from_unix_seconds(generation)),
            docker_image_reference: reference.into(),
            image: image.into(),
            generation,
        }
    }

    fn stream(events: &[TagEvent]) -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.name = "s".into();
        stream.metadata.namespace = "ns".into();
        let conditions = vec![TagEventCondition::default()];
        stream.status.tags =
            vec![NamedTagEventList { tag: "t".into(), items: events.to_vec().into(), conditions }];
        stream
    }

    /// Pushes an event to a tag with the newest event `r`, `i`, generation 1. Returns the outcome,
    /// the history and the number of conditions.
    fn pushed(event_: TagEvent) -> (PushOutcome, Vec<(String, String, i64)>, usize) {
        let mut stream = stream(&[event("r", "i", 1)]);
        let pushed = push(&mut stream.status.tags, "t", event_, ALL);
        let history = &stream.status.tags[0];
        let items = history.items.iter();
        let items = items
            .map(|each| (each.docker_image_reference.clone(), each.image.clone(), each.generation));
        (pushed, items.collect(), history.conditions.len())
    }

    fn item(reference: &str, image: &str, generation: i64) -> (String, String, i64) {
        (reference.into(), image.into(), generation)
    }

    #[test]
    fn equal_event_changes_nothing_and_keeps_conditions() {
        assert_eq!(
            pushed(event("r", "i", 1)),
            (PushOutcome::Unchanged, vec![item("r", "i", 1)], 1)
        );
    }

    #[test]
    fn event_with_same_image_or_spec_overwrites() {
        assert_eq!(
            pushed(event("r", "i", 2)),
            (PushOutcome::Confirmed, vec![item("r", "i", 2)], 0)
        );
        assert_eq!(
            pushed(event("r", "j", 1)),
            (PushOutcome::Rewritten, vec![item("r", "j", 1)], 0)
        );
        assert_eq!(
            pushed(event("q", "i", 2)),
            (PushOutcome::Rewritten, vec![item("q", "i", 2)], 0)
        );
    }

    #[test]
    fn overwritten_event_keeps_its_time() {
        let mut stream = stream(&[event("r", "", 1)]);
        push(&mut stream.status.tags, "t", event("q", "", 2), ALL);
        assert_eq!(latest_event(&stream, "t").unwrap().created, Some(Time::from_unix_seconds(1)));
    }

    #[test]
    fn different_event_is_prepended() {
        assert_eq!(
            pushed(event("q", "j", 2)),
            (PushOutcome::Added, vec![item("q", "j", 2), item("r", "i", 1)], 0)
        );
    }

    #[test]
    fn new_history_is_inserted_in_order() {
        let mut stream = stream(&[]);
        assert_eq!(push(&mut stream.status.tags, "t", event("r", "i", 1), ALL), PushOutcome::Added);
        for tag in ["u", "a", "tt"] {
            assert_eq!(
                push(&mut stream.status.tags, tag, event("r", "i", 1), ALL),
                PushOutcome::Added
            );
        }
        let names: Vec<_> = stream.status.tags.iter().map(|each| each.tag.as_str()).collect();
        assert_eq!(names, ["a", "t", "tt", "u"]);
        assert!(stream.status.tags.iter().all(|each| each.conditions.is_empty()));
    }

    #[test]
    fn overlong_history_loses_its_oldest_events() {
        let mut stream = stream(&[event("r", "i", 1), event("r", "h", 0)]);
        let two = MaxTagHistory(NonZeroUsize::new(2));
        assert_eq!(push(&mut stream.status.tags, "t", event("q", "j", 2), two), PushOutcome::Added);
        assert_eq!(stream.status.tags[0].items, [event("q", "j", 2), event("r", "i", 1)]);
    }

    #[test]
    fn direct_tracking_tags_get_the_event() {
        let mut stream = stream(&[event("r", "i", 1)]);
        let mut spec = |name: &str, kind: &str, namespace: &str, from: &str| {
            let from = ObjectReference {
                kind: kind.into(),
                namespace: namespace.into(),
                name: from.into(),
                ..ObjectReference::default()
            };
            stream.spec.tags.push(TagReference {
                name: name.into(),
                from: Some(from),
                ..TagReference::default()
            });
        };
        spec("a", "ImageStreamTag", "", "t");
        spec("b", "ImageStreamTag", "ns", "s:t");
        spec("c", "ImageStreamTag", "other", "s:t");
        spec("d", "ImageStreamTag", "", "x:t");
        spec("e", "DockerImage", "", "t");
        spec("f", "ImageStreamTag", "", "a");
        // The pushed event may be older than the newest one of the tag.
        let pushed = event("r", "i", 7);
        assert_eq!(push_to_tracking_tags(&mut stream, "t", &pushed, ALL), ["a", "b"]);
        assert_eq!(push_to_tracking_tags(&mut stream, "t", &pushed, ALL), [""; 0]);
        assert_eq!(latest_event(&stream, "a"), Some(&pushed));
        assert_eq!(latest_event(&stream, "f"), None);
        assert_eq!(push_to_tracking_tags(&mut stream, "nosuch", &pushed, ALL), [""; 0]);
    }

    #[test]
    fn empty_source_tag_means_the_default_tag() {
        let from = ObjectReference {
            kind: "ImageStreamTag".into(),
            name: "s:".into(),
            ..ObjectReference::default()
        };
        let mut stream = stream(&[event("r", "i", 1)]);
        stream.spec.tags =
            vec![TagReference { name: "a".into(), from: Some(from), ..TagReference::default() }];
        stream.status.tags[0].tag = "latest".into();
        assert_eq!(push_to_tracking_tags(&mut stream, "latest", &event("q", "j", 2), ALL), ["a"]);
    }

    #[test]
    fn many_tracking_tags_are_inserted_in_one_pass() {
        let start = std::time::Instant::now();
        let mut followed = stream(&[event("r", "i", 1)]);
        let from = |name: &str| ObjectReference {
            kind: "ImageStreamTag".into(),
            name: name.into(),
            ..ObjectReference::default()
        };
        let tag = |name: String, of: &str| TagReference {
            name,
            from: Some(from(of)),
            ..TagReference::default()
        };
        // Each is inserted before the existing ones and tracks the previous one.
        let names: Vec<String> = (0..40_000).map(|at| format!("a{:05}", 40_000 - at)).collect();
        let chain = names
            .iter()
            .enumerate()
            .map(|(at, name)| tag(name.clone(), if at == 0 { "t" } else { &names[at - 1] }));
        followed.spec.tags = chain.collect();
        propagate(&mut followed, None, ALL);
        assert_eq!(followed.status.tags.len(), 40_001);
        assert!(followed.status.tags.is_sorted_by(|a, b| a.tag < b.tag));
        followed.status.tags.retain(|tag| tag.tag == "t");
        followed.spec.tags.iter_mut().for_each(|tag| tag.from = Some(from("t")));
        let changed = push_to_tracking_tags(&mut followed, "t", &event("r", "i", 1), ALL);
        assert_eq!((changed.len(), followed.status.tags.len()), (40_000, 40_001));
        assert!(start.elapsed().as_secs() < 20, "it takes {:?}", start.elapsed());
    }

    #[test]
    fn unresolved_tags_get_no_empty_history() {
        let mut followed = stream(&[event("r", "i", 1)]);
        // A client may have written a history without events.
        followed.status.tags.insert(0, empty("e"));
        let old = followed.clone();
        let from = ObjectReference {
            kind: "ImageStreamTag".into(),
            name: "t".into(),
            ..ObjectReference::default()
        };
        followed.spec.tags =
            vec![TagReference { name: "u".into(), from: Some(from), ..TagReference::default() }];
        propagate(&mut followed, Some(&old), ALL);
        assert_eq!(followed.status, old.status);
    }
}
