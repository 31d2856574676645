//! Lists of tags, in the order of their full names.
//!
//! This differs from the order of their streams: `-`, `.` and digits sort before the colon, so the
//! tags of `a-b` and `a1` precede those of `a`. The key of a stream whose turn comes later is kept,
//! and the stream is read again then.

use std::sync::Arc;
use std::vec;

use super::tag_handler::{TagHandler, TagView};
use crate::api::ImageStream;
use crate::machinery::selector::Selector;
use crate::meta::{ListMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::list::entries::Entries;
use crate::registry::list::object_stream::{ListPage, ObjectStream};
use crate::registry::object_ref::ObjectRef;
use crate::registry::options::ListOptions;
use crate::registry::page;
use crate::registry::strategy::UpdateStrategy;
use crate::registry::verbs::{List, Scope};
use crate::store::Entry;

/// Continue tokens are a deliberate difference: the OpenShift API server truncates lists without
/// one.
impl<V: TagView> List<V> for TagHandler<V> {
    type Objects = TagStream<V>;

    fn list(
        self: &Arc<Self>,
        _: &Actor,
        at: &ObjectRef,
        _: Scope,
        options: &ListOptions,
    ) -> Result<ListPage<TagStream<V>>, Status> {
        if options.watch {
            return Err(Status::not_watchable(V::RESOURCE));
        }
        // The selector applies to streams and tags alike, so `metadata.name` never matches, as in
        // OpenShift.
        let selector = options.selector(&[])?;
        let options = page::PageOptions::read(options)?;
        let (limit, from) = (options.limit, options.start.clone());
        let (stem, start) = match &from {
            Some(from) => stem_and_start(from),
            None => (String::new(), None),
        };
        let entries = self.catalog.streams.entries(at.namespace(), start.as_deref(), options);
        let deferred = shorter(&stem).map(|key| format!("{}{key}", entries.prefix())).collect();
        let tags = self.clone();
        Ok(ListPage {
            objects: TagStream {
                tags,
                entries,
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
    /// The streams that are not read yet.
    entries: Entries,
    selector: Selector,
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
    stream: Arc<ImageStream>,
    /// The key of the stream, without the prefix of the keys.
    key: String,
    tags: vec::IntoIter<String>,
}

// Not derived, because `V` need not be `Clone`.
impl<V> Clone for TagStream<V> {
    fn clone(&self) -> Self {
        Self {
            tags: self.tags.clone(),
            entries: self.entries.clone(),
            selector: self.selector.clone(),
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
            self.current = self.stream_tags(&entry)?;
        }
    }

    fn metadata(&self) -> ListMeta {
        ListMeta::default()
    }

    fn continue_token(&self) -> Option<String> {
        let follows = self.current.as_ref().is_some_and(|current| current.tags.len() > 0)
            || !self.deferred.is_empty()
            || self.entries.has_more();
        let last = self.last.as_deref().filter(|_| follows)?;
        Some(page::continue_token(self.entries.revision(), last))
    }
}

impl<V: TagView> TagStream<V> {
    /// The next selected tag of the current stream.
    fn next_of_current_stream(&mut self) -> Result<Option<V>, Status> {
        let Some(StreamTags { stream, key, tags }) = &mut self.current else {
            return Ok(None);
        };
        for tag in tags {
            let name = format!("{key}:{tag}");
            if self.from.as_ref().is_some_and(|from| name < *from) {
                continue;
            }
            let view =
                V::new(stream, &tag, None).map_err(|why| Status::internal(why.to_string()))?;
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

    fn stream_tags(&self, entry: &Entry) -> Result<Option<StreamTags>, Status> {
        let streams = &self.tags.catalog.streams;
        let mut stream = streams.decode(entry)?;
        if !self.selector.selects(&stream.metadata, |_| String::new()) {
            return Ok(None);
        }
        streams.strategy().decorate(&mut stream);
        let tags: Vec<String> = V::listed_tags(&stream).into_iter().map(str::to_owned).collect();
        let key = entry.key.as_str();
        let key = key.strip_prefix(self.entries.prefix()).unwrap_or(key).to_owned();
        Ok(Some(StreamTags { stream: Arc::new(stream), key, tags: tags.into_iter() }))
    }
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
