//! Watches of tags: events of streams, as events of the tags that differ.
//!
//! An event has the form of an item of a list: without the content of the image. A stream changes in
//! one event, which compares the tags of two versions; watches share its decoded and encoded forms.

use std::sync::Arc;

use super::catalog::Catalog;
use super::tag_handler::{TagHandler, TagView};
use crate::api::ImageStream;
use crate::domain::names::join;
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::keys::KeyMatch;
use crate::registry::object_ref::ObjectRef;
use crate::registry::options::ListOptions;
use crate::registry::verbs::{Scope, Watch};
use crate::registry::watch::{
    EventType, ObjectWatch, Projection, Shown, ShownChange, ShownChanges, StoredStates, WatchScope,
};
use crate::store::Revision;

/// Watches of tags are a deliberate difference: the OpenShift API server has none.
impl<V: TagView> Watch<V> for TagHandler<V> {
    type Stored = ImageStream;

    async fn watch(
        self: Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> Result<ObjectWatch<ImageStream, V>, Status> {
        let selector = options.selector(&[])?;
        let Catalog { streams, .. } = &*self.catalog;
        let named = selector.exact_name().filter(|_| scope.name_is_unique(at));
        let (prefix, key_match) = match named {
            Some(name) => {
                let stream = name.split_once(':').map_or(name, |(stream, _)| stream);
                (streams.key(at.namespace(), stream).as_str().to_owned(), KeyMatch::Exact)
            }
            None => (streams.prefix(at.namespace()), KeyMatch::Prefix),
        };
        let of_streams = selector.clone().without_names();
        let scope = WatchScope { prefix, key_match, selector: of_streams };
        let streams = streams.clone();
        let shown = Shown { names: selector.only_names(), projection: self };
        streams.watch_as(&actor.load, scope, shown, options).await
    }
}

impl<V: TagView> Projection<ImageStream, V> for TagHandler<V> {
    fn changes(
        &self,
        states: &StoredStates<'_, ImageStream>,
    ) -> Result<ShownChanges<ImageStream>, Status> {
        let (before, after) = (states.before()?, states.after()?);
        let changes = changes::<V>(before.as_deref(), after.as_deref());
        Ok(ShownChanges::of_event(before, after, states.revision(), changes))
    }

    fn existing(&self, stored: Arc<ImageStream>, revision: Revision) -> ShownChanges<ImageStream> {
        let added = changes::<V>(None, Some(&stored));
        ShownChanges::of_existing(stored, revision, added)
    }

    fn show(&self, stored: Arc<ImageStream>, name: &str) -> Result<V, Status> {
        let tag = name.split_once(':').map_or("", |(_, tag)| tag);
        V::new(&stored, tag, None).map_err(|why| Status::internal(why.to_string()))
    }
}

/// The tags that differ between two versions of a stream, by name.
fn changes<V: TagView>(
    before: Option<&ImageStream>,
    after: Option<&ImageStream>,
) -> Vec<ShownChange> {
    let mut names: Vec<&str> =
        [before, after].into_iter().flatten().flat_map(V::listed_tags).collect();
    names.sort_unstable();
    names.dedup();
    let is_same_stream =
        before.zip(after).is_some_and(|(before, after)| V::is_same_stream(before, after));
    let stream = after.or(before).map_or("", |stream| &stream.metadata.name);
    let change = |tag: &str| {
        let lists = |stream: &&ImageStream| V::exists(stream, tag);
        let r#type = match (before.filter(lists), after.filter(lists)) {
            (None, None) => return None,
            (None, Some(_)) => EventType::Added,
            (Some(_), None) => EventType::Deleted,
            (Some(before), Some(after)) if is_same_stream && V::is_same(before, after, tag) => {
                return None;
            }
            (Some(_), Some(_)) => EventType::Modified,
        };
        Some(ShownChange { name: join(stream, tag).into(), r#type })
    };
    names.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::api::{
        ImageStreamTag, ImageTag, NamedTagEventList, ObjectReference, TagEvent, TagEventCondition,
        TagReference,
    };
    use crate::meta::Time;

    const TAGS: [&str; 3] = ["a", "b", "c"];

    fn spec_tag(name: &str, kind: u8) -> TagReference {
        let mut tag = TagReference { name: name.into(), ..TagReference::default() };
        let from = ObjectReference { name: format!("r/{kind}"), ..ObjectReference::default() };
        tag.from = (kind & 1 > 0).then_some(from);
        tag.generation = Some(i64::from(kind & 2));
        if kind & 4 > 0 {
            tag.reference_policy.r#type = "Local".into();
        }
        tag
    }

    fn history(name: &str, kind: u8) -> NamedTagEventList {
        let event = |image: &str, generation: u8| TagEvent {
            created: Some(Time::from_unix_seconds(i64::from(generation))),
            docker_image_reference: format!("r/{}", generation & 1),
            image: image.into(),
            generation: generation.into(),
        };
        let items = match kind & 3 {
            0 => vec![],
            1 => vec![event("", kind >> 2)],
            2 => vec![event("i", kind >> 2)],
            _ => vec![event("j", 1), event("i", kind >> 2)],
        };
        let condition = TagEventCondition { r#type: "x".into(), ..TagEventCondition::default() };
        let conditions = (kind & 16 > 0).then_some(condition).into_iter().collect();
        NamedTagEventList { tag: name.into(), items: items.into(), conditions }
    }

    prop_compose! {
        /// A stream at a revision, whose parts have few values, so that two of them are often equal.
        fn stream()(
            specs in prop::array::uniform3(prop::option::of(0..8_u8)),
            histories in prop::array::uniform3(prop::option::of(0..32_u8)),
            of_stream in 0..32_u8,
            revision in 1..9_u32,
        ) -> ImageStream {
            let mut stream = ImageStream::default();
            stream.metadata.name = "s".into();
            stream.metadata.uid = (of_stream & 1).to_string();
            stream.metadata.resource_version = revision.to_string();
            stream.metadata.generation = revision.into();
            stream.metadata.labels = BTreeMap::from([("l".into(), (of_stream & 2).to_string())]);
            stream.metadata.annotations =
                BTreeMap::from([("a".into(), (of_stream & 4).to_string())]);
            stream.spec.lookup_policy.local = of_stream & 8 > 0;
            stream.status.docker_image_repository = format!("in/{}", of_stream & 16);
            for ((name, spec), kind) in TAGS.into_iter().zip(specs).zip(histories) {
                stream.spec.tags.extend(spec.map(|kind| spec_tag(name, kind)));
                stream.status.tags.extend(kind.map(|kind| history(name, kind)));
            }
            stream
        }
    }

    /// The tags of a list, without the metadata that do not count.
    fn list<V: TagView>(stream: Option<&ImageStream>) -> BTreeMap<String, V> {
        let view = |tag: &str| {
            let mut view = V::new(stream.unwrap(), tag, None).unwrap();
            let metadata = view.metadata_mut();
            metadata.resource_version = String::new();
            metadata.generation = 0;
            metadata.managed_fields = Vec::new();
            (view.metadata().name.clone(), view)
        };
        stream.map(V::listed_tags).unwrap_or_default().into_iter().map(view).collect()
    }

    fn check<V: TagView + PartialEq>(before: Option<&ImageStream>, after: Option<&ImageStream>) {
        let (old, new) = (list::<V>(before), list::<V>(after));
        let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let event = |name: &&String| match (old.get(*name), new.get(*name)) {
            (None, _) => Some(EventType::Added),
            (_, None) => Some(EventType::Deleted),
            (Some(old), Some(new)) => (old != new).then_some(EventType::Modified),
        };
        let expected: Vec<_> =
            names.iter().filter_map(|name| Some((name.as_str(), event(name)?))).collect();
        let changes = changes::<V>(before, after);
        let found: Vec<_> = changes.iter().map(|change| (&*change.name, change.r#type)).collect();
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn events_are_those_of_the_lists(before in prop::option::of(stream()), after in stream()) {
            for (before, after) in [(before.as_ref(), Some(&after)), (Some(&after), None)] {
                check::<ImageStreamTag>(before, after);
                check::<ImageTag>(before, after);
            }
        }

        #[test]
        fn parts_that_change_alone_are_seen(
            stream in stream(),
            other in stream(),
            part in 0..5_u8,
        ) {
            let mut after = stream.clone();
            match part {
                0 => after.metadata = other.metadata,
                1 => after.spec.tags = other.spec.tags,
                2 => after.spec.lookup_policy = other.spec.lookup_policy,
                3 => after.status.tags = other.status.tags,
                _ => after.status.docker_image_repository = other.status.docker_image_repository,
            }
            check::<ImageStreamTag>(Some(&stream), Some(&after));
            check::<ImageTag>(Some(&stream), Some(&after));
        }
    }
}
