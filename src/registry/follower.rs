//! A follower of all objects of a resource, for work inside this process.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::meta::{Kind, Status};
use crate::registry::list::entries::Entries;
use crate::registry::object_store::ObjectStore;
use crate::registry::page::PageOptions;
use crate::registry::storage_errors::status_of_watch_error;
use crate::registry::strategy::Strategy;
use crate::store::{At, Entry, Event, Revision, Watch};

/// Yields all objects of a resource, and then their changes, each once and in order.
///
/// It reads the log of the store at its own pace and holds one page or batch of entries. Unlike a
/// client's watch, it needs no buffer of the latest events.
pub struct Follower<T, S> {
    store: Arc<ObjectStore<T, S>>,
    entries: VecDeque<Result<Entry, DeletedObject>>,
    phase: FollowPhase,
}

/// A change that a [`Follower`] yields.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredChange<T> {
    /// The object exists, or has this state now.
    Applied(Box<T>),
    /// The object was deleted.
    Deleted(DeletedObject),
    /// The object cannot be decoded. The text is for the log.
    Unreadable(String),
    /// All objects that existed at the start were yielded.
    Synced,
}

/// The place of a deleted object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedObject {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// The source of the next entries.
enum FollowPhase {
    Existing(Box<Entries>),
    Live(Box<dyn Watch>),
}

impl<T: Kind, S: Strategy<T>> Follower<T, S> {
    /// Follows all objects of a store.
    pub fn new(store: &Arc<ObjectStore<T, S>>) -> Self {
        let options = PageOptions { at: At::Now, at_least: Revision(0), start: None, limit: 0 };
        let entries = store.entries("", None, options);
        let phase = FollowPhase::Existing(Box::new(entries));
        Self { store: store.clone(), entries: VecDeque::new(), phase }
    }

    /// Waits for the next change.
    ///
    /// Cancel safe: dropping the future loses no change.
    ///
    /// # Errors
    /// The position was compacted, or the store failed. A new follower must start over.
    pub async fn next(&mut self) -> Result<StoredChange<T>, Status> {
        loop {
            match self.entries.pop_front() {
                Some(Ok(entry)) => {
                    return Ok(match self.store.decode(&entry) {
                        Ok(object) => StoredChange::Applied(Box::new(object)),
                        Err(status) => {
                            StoredChange::Unreadable(status.hidden.unwrap_or(status.message))
                        }
                    });
                }
                Some(Err(deleted)) => return Ok(StoredChange::Deleted(deleted)),
                None => {}
            }
            let prefix = self.store.prefix("");
            match &mut self.phase {
                FollowPhase::Existing(entries) => {
                    let page = entries.next_page().await?;
                    if page.is_empty() {
                        let after = entries.revision();
                        let watch = self.store.store().watch(&prefix, after);
                        self.phase = FollowPhase::Live(watch);
                        return Ok(StoredChange::Synced);
                    }
                    self.entries.extend(page.into_iter().map(Ok));
                }
                FollowPhase::Live(watch) => {
                    let batch = watch.next().await.map_err(status_of_watch_error)?;
                    self.entries.extend(batch.events.into_iter().map(|event| match event {
                        Event::Put { entry, .. } => Ok(entry),
                        Event::Delete { key, .. } => Err(DeletedObject::of(&key, &prefix)),
                    }));
                }
            }
        }
    }
}

impl DeletedObject {
    /// The place of an object under the prefix of its resource.
    fn of(key: &crate::store::Key, prefix: &str) -> Self {
        let place = key.as_str().strip_prefix(prefix).unwrap_or_default();
        let (namespace, name) = place.split_once('/').unwrap_or(("", place));
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}
