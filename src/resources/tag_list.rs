//! Lists of tags, in the order of their full names.
//!
//! This differs from the order of their streams: `-`, `.` and digits sort before the colon, so the
//! tags of `a-b` and `a1` precede those of `a`. The key of a stream whose turn comes later is kept,
//! and the stream is read again then.

use std::sync::Arc;

use super::catalog::Catalog;
use super::shared_streams::SharedStream;
use super::tag_handler::{TagHandler, TagView};
use crate::machinery::selector::Selector;
use crate::meta::{ListMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::list::entries::Entries;
use crate::registry::list::object_stream::{ListPage, ObjectStream};
use crate::registry::object_ref::ObjectRef;
use crate::registry::options::ListOptions;
use crate::registry::page;
use crate::registry::verbs::{List, Scope};
use crate::registry::workload::{LARGE_OBJECT, Workload};
use crate::store::Entry;

/// Continue tokens are a deliberate difference: the OpenShift API server truncates lists without
/// one.
impl<V: TagView> List<V> for TagHandler<V> {
    type Objects = TagStream<V>;

    fn list(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> Result<ListPage<TagStream<V>>, Status> {
        if options.watch {
            return Err(Status::not_watchable(V::RESOURCE));
        }
        let selector = options.selector(&[])?;
        let options = page::PageOptions::read(options)?;
        let (limit, from) = (options.limit, options.start.clone());
        let named = selector.exact_name().filter(|_| scope.name_is_unique(at));
        let (stem, start) = match (named, &from) {
            (None, Some(from)) => stem_and_start(from),
            (Some(_), _) | (None, None) => (String::new(), None),
        };
        let entries = self.catalog.streams.entries(at.namespace(), start.as_deref(), options);
        let entries = entries.charged_to(&actor.load, cost_of_small);
        let prefix = entries.prefix().to_owned();
        let deferred = shorter(&stem).map(|key| format!("{prefix}{key}")).collect();
        let entries = match named {
            Some(name) => entries.exact(name.split_once(':').map_or(name, |(stream, _)| stream)),
            None => entries,
        };
        let tags = self.clone();
        Ok(ListPage {
            objects: TagStream {
                tags,
                load: actor.load.clone(),
                prefix,
                entries,
                is_named: named.is_some(),
                of_streams: selector.clone().without_names(),
                selector,
                deferred,
                from,
                current: None,
                last: None,
            },
            limit,
        })
    }
}

/// The name of the stream that a list continues in, and the key after which the others follow.
fn stem_and_start(from: &str) -> (String, Option<String>) {
    match from.split_once(':') {
        Some((stem, _)) => (stem.to_owned(), Some(format!("{stem}:"))),
        None => (from.to_owned(), Some(from.to_owned())),
    }
}

/// The keys of streams that are prefixes of `stem` but whose tags may follow, and `stem` itself;
/// shortest first.
fn shorter(stem: &str) -> impl Iterator<Item = &str> {
    let name = stem.rfind('/').map_or(0, |slash| slash + 1);
    let ends =
        stem.char_indices().filter(move |(at, next)| *at > name && *next < ':').map(|(at, _)| at);
    ends.chain((stem.len() > name).then_some(stem.len())).map(|end| &stem[..end])
}

/// The selected tags, in the order of their names.
pub(super) struct TagStream<V> {
    tags: Arc<TagHandler<V>>,
    load: Workload,
    /// The prefix of the keys of all streams that may be listed.
    prefix: String,
    /// The streams that are not read yet.
    entries: Entries,
    /// True if the field selector names one tag.
    is_named: bool,
    /// The selector of the tags.
    selector: Selector,
    /// The selector of the streams, which have the labels and the namespace of their tags.
    of_streams: Selector,
    /// The keys of streams whose turn comes later, the next one last. Some may not exist.
    deferred: Vec<String>,
    /// The first name, without the prefix of the keys.
    from: Option<String>,
    /// The stream whose tags are being listed.
    current: Option<StreamTags>,
    /// The name of the last tag, without the prefix of the keys.
    last: Option<String>,
}

/// A stream with the tags that are still to be listed.
#[derive(Clone)]
struct StreamTags {
    stream: Arc<SharedStream>,
    /// The key of the stream, without the prefix of the keys.
    key: String,
    /// The names of all listed tags of the stream.
    tags: Arc<[String]>,
    /// The position of the next one.
    next: usize,
}

// Not derived, because `V` need not be `Clone`.
impl<V> Clone for TagStream<V> {
    fn clone(&self) -> Self {
        Self {
            tags: self.tags.clone(),
            load: self.load.clone(),
            prefix: self.prefix.clone(),
            entries: self.entries.clone(),
            is_named: self.is_named,
            selector: self.selector.clone(),
            of_streams: self.of_streams.clone(),
            deferred: self.deferred.clone(),
            from: self.from.clone(),
            current: self.current.clone(),
            last: self.last.clone(),
        }
    }
}

impl<V: TagView> ObjectStream for TagStream<V> {
    type Item = V;

    async fn next(&mut self) -> Result<Option<V>, Status> {
        loop {
            if let Some(view) = self.next_of_current_stream()? {
                return Ok(Some(view));
            }
            let Some(entry) = self.next_stream().await? else {
                return Ok(None);
            };
            self.current = self.stream_tags(entry).await?;
        }
    }

    /// As in the OpenShift API server, lists have no resourceVersion. One of a named tag has, so that
    /// `kubectl wait` can watch from there.
    fn metadata(&self) -> ListMeta {
        let is_found = self.is_named && self.last.is_some();
        let revision = is_found.then(|| self.entries.revision().to_string());
        ListMeta { resource_version: revision.unwrap_or_default(), ..ListMeta::default() }
    }

    fn pause(&mut self, kept: u64) {
        self.entries.pause(kept);
    }

    fn continue_token(&self) -> Option<String> {
        let follows =
            self.current.as_ref().is_some_and(|current| current.next < current.tags.len())
                || !self.deferred.is_empty()
                || self.entries.has_more();
        let last = self.last.as_deref().filter(|_| follows)?;
        Some(page::continue_token(self.entries.revision(), last))
    }
}

impl<V: TagView> TagStream<V> {
    /// The next selected tag of the current stream.
    fn next_of_current_stream(&mut self) -> Result<Option<V>, Status> {
        let Some(StreamTags { stream, key, tags, next }) = &mut self.current else {
            return Ok(None);
        };
        while let Some(tag) = tags.get(*next) {
            *next += 1;
            let name = format!("{key}:{tag}");
            if self.from.as_ref().is_some_and(|from| name < *from) {
                continue;
            }
            let view =
                V::new(stream, tag, None).map_err(|why| Status::internal(why.to_string()))?;
            if self.selector.selects(view.metadata(), |_| String::new()) {
                self.last = Some(name);
                return Ok(Some(view));
            }
        }
        self.current = None;
        Ok(None)
    }

    /// The stream whose tags come next.
    async fn next_stream(&mut self) -> Result<Option<Entry>, Status> {
        loop {
            let upcoming = self.entries.peek().await?.map(|entry| entry.key.as_str());
            if let Some(key) = self.deferred.pop_if(|key| comes_before(key, upcoming)) {
                match self.entries.find(&key).await? {
                    Some(entry) => return Ok(Some(entry)),
                    None => continue,
                }
            }
            let Some(entry) = self.entries.next().await? else {
                return Ok(None);
            };
            let upcoming = self.entries.peek().await?.map(|entry| entry.key.as_str());
            if comes_before(entry.key.as_str(), upcoming) {
                return Ok(Some(entry));
            }
            self.deferred.push(entry.key.as_str().to_owned());
        }
    }

    async fn stream_tags(&mut self, entry: Entry) -> Result<Option<StreamTags>, Status> {
        let Catalog { streams, shared_streams, .. } = &*self.tags.catalog;
        let key = entry.key.as_str();
        let key = key.strip_prefix(&self.prefix).unwrap_or(key).to_owned();
        let stream = shared_streams.listed(streams, &self.load, &mut self.entries, entry).await?;
        let is_selected = |stream: &Arc<SharedStream>| {
            self.of_streams.selects(&stream.metadata, |_| String::new())
        };
        Ok(stream.filter(is_selected).map(|stream| {
            let tags = stream.listed_tags(V::RESOURCE.name, V::listed_tags);
            StreamTags { stream, key, tags, next: 0 }
        }))
    }
}

/// The memory of an entry of a list. Large streams are reserved when their turn comes, because
/// readers share them.
fn cost_of_small(load: &Workload, stored: usize) -> u64 {
    if stored > LARGE_OBJECT { 0 } else { load.cost_of_object(stored) }
}

/// Returns true if the tags of a stream precede those of all streams from `upcoming` on.
fn comes_before(key: &str, upcoming: Option<&str>) -> bool {
    upcoming.is_none_or(|upcoming| key.bytes().chain([b':']).lt(upcoming.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_shorter_stream_names_may_come_later() {
        let shorter = |stem| shorter(stem).collect::<Vec<_>>();
        assert_eq!(shorter("a-b/c1.d_e-f"), ["a-b/c", "a-b/c1", "a-b/c1.d_e", "a-b/c1.d_e-f"]);
        assert_eq!(shorter("a1"), ["a", "a1"]);
        assert!(shorter("").is_empty() && shorter("ns/").is_empty());
    }

    #[test]
    fn tag_order_handles_prefixes_of_stream_names() {
        for (next, first) in [
            ("b", true),
            ("aa", true),
            ("a_b", true),
            ("a-b", false),
            ("a.b", false),
            ("a1", false),
        ] {
            assert_eq!(comes_before("a", Some(next)), first, "{next}");
        }
        assert!(comes_before("a", None));
    }
}
