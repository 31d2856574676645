//! Strategy of image streams: preparation for create and update, as openshift-apiserver
//! pkg/image/apiserver/registry/imagestream/strategy.go.

use super::tags;
use crate::api::{ImageStream, ImageStreamStatus, TagReference};

/// Object of a write that changes a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTarget {
    /// The stream itself. Its status does not change.
    Stream,
    /// One tag of the stream. The status may change.
    Tag,
}

/// Prepares a new stream: clears the status and sets all generations to 1, as
/// `Strategy.PrepareForCreate`.
pub fn prepare_for_create(stream: &mut ImageStream) {
    stream.status = ImageStreamStatus::default();
    stream.metadata.generation = 1;
    stream.spec.tags.iter_mut().for_each(|tag| tag.generation = Some(1));
}

/// Prepares the update of the stream `old`: resets the fields that clients cannot set.
///
/// The generation of the stream increases with each change of the spec. It becomes the generation
/// of the spec tags that are new or changed, or whose generation the client set to 0 to import them
/// again (`updateSpecTagGenerationsForUpdate` and `ensureSpecTagGenerationsAreSet` in Go).
pub fn prepare_for_update(old: &ImageStream, new: &mut ImageStream, target: WriteTarget) {
    new.metadata.generation = old.metadata.generation;
    match target {
        WriteTarget::Stream => new.status.clone_from(&old.status),
        WriteTarget::Tag => {
            new.status.tags.retain(|tag| !tag.items.is_empty() || !tag.conditions.is_empty())
        }
    }
    for tag in new.spec.tags.iter_mut().filter(|tag| tag.generation != Some(0)) {
        if let Some(before) = tags::spec_tag(old, &tag.name) {
            tag.generation = before.generation;
        }
    }
    if new.spec != old.spec || new.metadata.generation == 0 {
        new.metadata.generation = old.metadata.generation.saturating_add(1);
    }
    let (generation, namespace) = (new.metadata.generation, &new.metadata.namespace);
    for tag in &mut new.spec.tags {
        let is_current = tags::spec_tag(old, &tag.name)
            .is_some_and(|before| !is_changed(before, tag, namespace));
        if !is_current || matches!(tag.generation, None | Some(0)) {
            tag.generation = Some(generation);
        }
    }
}

/// Returns the indexes in `new.spec.tags` of tags with a source that are new or changed.
pub(super) fn changed_tags(old: Option<&ImageStream>, new: &ImageStream) -> Vec<usize> {
    let is_new = |tag: &TagReference| match old.and_then(|old| tags::spec_tag(old, &tag.name)) {
        Some(before) => is_changed(before, tag, &new.metadata.namespace),
        None => true,
    };
    let tags = new.spec.tags.iter().enumerate();
    tags.filter(|(_, tag)| tag.from.is_some() && is_new(tag)).map(|(at, _)| at).collect()
}

/// Returns true if a spec tag has a new source or is to be imported again, as `tagRefChanged` in
/// Go.
///
/// The kind of the source, annotations and the other policies do not count.
fn is_changed(before: &TagReference, after: &TagReference, namespace: &str) -> bool {
    let Some(to) = &after.from else {
        return false;
    };
    if to.kind.is_empty() && to.name.is_empty() {
        return false;
    }
    let (before_namespace, before_name) =
        before.from.as_ref().map_or(("", ""), |from| (from.namespace.as_str(), from.name.as_str()));
    let effective = |of: &'_ str| if of.is_empty() { namespace.to_owned() } else { of.to_owned() };
    effective(before_namespace) != effective(&to.namespace)
        || before_name != to.name
        || before.reference != after.reference
        || before.import_policy.import_mode != after.import_policy.import_mode
        || (after.generation == Some(0)
            && before.generation.is_some_and(|generation| generation != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, ObjectReference, TagEvent};

    fn tag(name: &str, from: &str) -> TagReference {
        let from = ObjectReference {
            kind: "DockerImage".into(),
            name: from.into(),
            ..ObjectReference::default()
        };
        TagReference { name: name.into(), from: Some(from), ..TagReference::default() }
    }

    fn stream() -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.namespace = "ns".into();
        stream.spec.tags = vec![tag("a", "x"), tag("b", "y")];
        prepare_for_create(&mut stream);
        stream
    }

    /// Returns the generations of the stream and its tags after `edit`.
    fn updated(old: &ImageStream, edit: impl FnOnce(&mut ImageStream)) -> (i64, Vec<i64>) {
        let mut new = old.clone();
        edit(&mut new);
        prepare_for_update(old, &mut new, WriteTarget::Stream);
        (new.metadata.generation, new.spec.tags.iter().map(|tag| tag.generation.unwrap()).collect())
    }

    #[test]
    fn new_stream_has_generation_one_and_no_status() {
        let mut sent = stream();
        sent.metadata.generation = 7;
        sent.spec.tags[0].generation = Some(9);
        sent.status.docker_image_repository = "evil".into();
        prepare_for_create(&mut sent);
        assert_eq!(sent, stream());
    }

    #[test]
    fn client_generations_are_ignored_except_zero() {
        let old = stream();
        assert_eq!(updated(&old, |new| new.metadata.generation = 9), (1, vec![1, 1]));
        assert_eq!(updated(&old, |new| new.spec.tags[0].generation = Some(99)), (1, vec![1, 1]));
        assert_eq!(updated(&old, |new| new.spec.tags[0].generation = None), (1, vec![1, 1]));
        assert_eq!(updated(&old, |new| new.spec.tags[0].generation = Some(0)), (2, vec![2, 1]));
    }

    #[test]
    fn spec_changes_raise_generations() {
        let old = stream();
        assert_eq!(
            updated(&old, |new| new.metadata.labels = [("a".into(), "b".into())].into()),
            (1, vec![1, 1])
        );
        assert_eq!(updated(&old, |new| new.spec.lookup_policy.local = true), (2, vec![1, 1]));
        type Edit = fn(&mut TagReference);
        let edits: [(Edit, i64); 9] = [
            (|tag| tag.annotations = Some([("a".to_owned(), "b".to_owned())].into()), 1),
            (|tag| tag.import_policy.scheduled = true, 1),
            (|tag| tag.reference_policy.r#type = "Local".into(), 1),
            (|tag| tag.from.as_mut().unwrap().kind = "ImageStreamTag".into(), 1),
            (|tag| tag.from = None, 1),
            (|tag| tag.from.as_mut().unwrap().name = "z".into(), 2),
            (|tag| tag.from.as_mut().unwrap().namespace = "far".into(), 2),
            (|tag| tag.reference = true, 2),
            (|tag| tag.import_policy.import_mode = "PreserveOriginal".into(), 2),
        ];
        for (at, (edit, then)) in edits.into_iter().enumerate() {
            assert_eq!(
                updated(&old, |new| edit(&mut new.spec.tags[0])),
                (2, vec![then, 1]),
                "edit {at}"
            );
        }
        let own =
            |new: &mut ImageStream| new.spec.tags[0].from.as_mut().unwrap().namespace = "ns".into();
        assert_eq!(updated(&old, own), (2, vec![1, 1]));
    }

    #[test]
    fn adding_and_removing_tags_raises_the_generation() {
        let old = stream();
        assert_eq!(updated(&old, |new| new.spec.tags.push(tag("c", "z"))), (2, vec![1, 1, 2]));
        assert_eq!(updated(&old, |new| new.spec.tags.clear()), (2, vec![]));
        let without_source = TagReference { name: "c".into(), ..TagReference::default() };
        assert_eq!(updated(&old, |new| new.spec.tags.push(without_source)), (2, vec![1, 1, 2]));
    }

    #[test]
    fn stream_update_keeps_the_stored_status() {
        let history = |tag: &str, items: Vec<TagEvent>| NamedTagEventList {
            tag: tag.into(),
            items: items.into(),
            conditions: vec![],
        };
        let old = stream();
        let mut sent = old.clone();
        sent.status.tags = vec![history("a", vec![TagEvent::default()]), history("b", vec![])];
        let status = |target| {
            let mut new = sent.clone();
            prepare_for_update(&old, &mut new, target);
            new.status.tags
        };
        assert_eq!(status(WriteTarget::Stream), []);
        assert_eq!(status(WriteTarget::Tag), [history("a", vec![TagEvent::default()])]);
    }
}
