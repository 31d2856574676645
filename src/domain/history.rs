//! The history of tags in a stream's status: which images a tag has been, newest first.
//!
//! Events come with their time; nothing here asks a clock. History is never sorted, trimmed or searched for doubles.

use crate::api::{ImageStream, NamedTagEventList, ObjectReference, TagEvent};

/// What adding an event did to the history of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The newest event says the same; nothing was changed.
    Unchanged,
    /// The newest event got the generation of the new one.
    Confirmed,
    /// The newest event got the image or the reference of the new one, and its generation.
    Rewritten,
    /// The event became the newest one.
    Added,
}

impl Pushed {
    /// Whether there is something to be stored.
    pub fn is_change(self) -> bool {
        self != Self::Unchanged
    }
}

/// The newest event of `tag`.
pub fn newest<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagEvent> {
    stream.status.tags.iter().find(|each| each.tag == tag)?.items.first()
}

/// Adds `event` to the history of `tag`; every change takes away what stood in the way of the tag.
///
/// An event that shares image or reference with the newest one is written over it, and the time of that one stays.
/// Two events without an image share it.
pub fn push(stream: &mut ImageStream, tag: &str, event: TagEvent) -> Pushed {
    let history = history_of(&mut stream.status.tags, tag);
    let pushed = merge(&mut history.items, event);
    if pushed.is_change() {
        history.conditions.clear();
    }
    pushed
}

/// Gives the newest event of `tag` to every spec tag that follows it, and returns the tags that changed, by name.
///
/// One level only: what follows the followers keeps what it has.
pub fn push_to_followers(stream: &mut ImageStream, tag: &str) -> Vec<String> {
    let Some(event) = newest(stream, tag).cloned() else {
        return Vec::new();
    };
    let mut followers = followers(stream, tag);
    followers.retain(|follower| push(stream, follower, event.clone()).is_change());
    followers
}

/// Names of the spec tags that come from `tag` of the same stream.
pub fn followers(stream: &ImageStream, tag: &str) -> Vec<String> {
    let own = &stream.metadata;
    let follows = |from: &ObjectReference| {
        let name = match from.name.split_once(':') {
            Some((name, rest)) if name == own.name => rest,
            _ => &from.name,
        };
        from.kind == "ImageStreamTag" && (from.namespace.is_empty() || from.namespace == own.namespace) && name == tag
    };
    let tags = stream.spec.tags.iter().filter(|each| each.from.as_ref().is_some_and(follows));
    tags.map(|each| each.name.clone()).collect()
}

/// The history of `tag`, made at its place in the order of names if there is none.
fn history_of<'a>(tags: &'a mut Vec<NamedTagEventList>, tag: &str) -> &'a mut NamedTagEventList {
    let at = match tags.iter().position(|each| each.tag.as_str() >= tag) {
        Some(at) if tags[at].tag == tag => return &mut tags[at],
        Some(at) => at,
        None => tags.len(),
    };
    tags.insert(at, NamedTagEventList { tag: tag.into(), ..NamedTagEventList::default() });
    &mut tags[at]
}

fn merge(items: &mut Vec<TagEvent>, event: TagEvent) -> Pushed {
    let Some(newest) = items.first_mut() else {
        items.push(event);
        return Pushed::Added;
    };
    let same_reference = newest.docker_image_reference == event.docker_image_reference;
    let same_image = newest.image == event.image;
    match (same_reference, same_image) {
        (true, true) if newest.generation == event.generation => return Pushed::Unchanged,
        (true, true) => {}
        (true, false) => newest.image = event.image,
        (false, true) => newest.docker_image_reference = event.docker_image_reference,
        (false, false) => {
            items.insert(0, event);
            return Pushed::Added;
        }
    }
    newest.generation = event.generation;
    match same_reference && same_image {
        true => Pushed::Confirmed,
        false => Pushed::Rewritten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{TagEventCondition, TagReference},
        meta::Time,
    };

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
        stream.status.tags = vec![NamedTagEventList { tag: "t".into(), items: events.to_vec(), conditions }];
        stream
    }

    /// What happens to a tag whose newest event is `r`, `i`, generation 1, and what its history is then.
    fn pushed(event_: TagEvent) -> (Pushed, Vec<(String, String, i64)>, usize) {
        let mut stream = stream(&[event("r", "i", 1)]);
        let pushed = push(&mut stream, "t", event_);
        let history = &stream.status.tags[0];
        let items = history.items.iter();
        let items = items.map(|each| (each.docker_image_reference.clone(), each.image.clone(), each.generation));
        (pushed, items.collect(), history.conditions.len())
    }

    fn item(reference: &str, image: &str, generation: i64) -> (String, String, i64) {
        (reference.into(), image.into(), generation)
    }

    #[test]
    fn an_event_that_says_the_same_changes_nothing_and_keeps_the_conditions() {
        assert_eq!(pushed(event("r", "i", 1)), (Pushed::Unchanged, vec![item("r", "i", 1)], 1));
    }

    #[test]
    fn an_event_that_shares_something_is_written_over_the_newest() {
        assert_eq!(pushed(event("r", "i", 2)), (Pushed::Confirmed, vec![item("r", "i", 2)], 0));
        assert_eq!(pushed(event("r", "j", 1)), (Pushed::Rewritten, vec![item("r", "j", 1)], 0));
        assert_eq!(pushed(event("q", "i", 2)), (Pushed::Rewritten, vec![item("q", "i", 2)], 0));
    }

    #[test]
    fn the_time_of_an_overwritten_event_stays() {
        let mut stream = stream(&[event("r", "", 1)]);
        push(&mut stream, "t", event("q", "", 2));
        assert_eq!(newest(&stream, "t").unwrap().created, Some(Time::from_unix_seconds(1)));
    }

    #[test]
    fn an_event_that_shares_nothing_comes_first() {
        assert_eq!(pushed(event("q", "j", 2)), (Pushed::Added, vec![item("q", "j", 2), item("r", "i", 1)], 0));
    }

    #[test]
    fn a_new_tag_is_put_in_the_order_of_names() {
        let mut stream = stream(&[]);
        assert_eq!(push(&mut stream, "t", event("r", "i", 1)), Pushed::Added);
        for tag in ["u", "a", "tt"] {
            assert_eq!(push(&mut stream, tag, event("r", "i", 1)), Pushed::Added);
        }
        let names: Vec<_> = stream.status.tags.iter().map(|each| each.tag.as_str()).collect();
        assert_eq!(names, ["a", "t", "tt", "u"]);
        assert!(stream.status.tags.iter().all(|each| each.conditions.is_empty()));
    }

    #[test]
    fn tags_that_follow_get_the_newest_event_one_level_deep() {
        let mut stream = stream(&[event("r", "i", 1)]);
        let mut spec = |name: &str, kind: &str, namespace: &str, from: &str| {
            let from = ObjectReference {
                kind: kind.into(),
                namespace: namespace.into(),
                name: from.into(),
                ..ObjectReference::default()
            };
            stream.spec.tags.push(TagReference { name: name.into(), from: Some(from), ..TagReference::default() });
        };
        spec("a", "ImageStreamTag", "", "t");
        spec("b", "ImageStreamTag", "ns", "s:t");
        spec("c", "ImageStreamTag", "other", "s:t");
        spec("d", "ImageStreamTag", "", "x:t");
        spec("e", "DockerImage", "", "t");
        spec("f", "ImageStreamTag", "", "a");
        assert_eq!(push_to_followers(&mut stream, "t"), ["a", "b"]);
        assert_eq!(push_to_followers(&mut stream, "t"), [""; 0]);
        assert_eq!(newest(&stream, "a"), Some(&event("r", "i", 1)));
        assert_eq!(newest(&stream, "f"), None);
        assert_eq!(push_to_followers(&mut stream, "nosuch"), [""; 0]);
    }
}
