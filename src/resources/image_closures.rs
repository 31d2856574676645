//! The closures of streams: the images in a history and, recursively, the children of those that list images.
//!
//! A closure is gathered when it is first needed, once for all requests that wait for it, and kept while there is room. It
//! stays right until the list of one of *its* images changes. That is found out from the log of the store: an
//! image that lists images changes the row `MANIFEST_LISTS_KEY` in the same transaction, so while that row is as old as the
//! closure nothing has changed at all, and otherwise the changes since then tell of which images they are.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use super::manifest_lists::{MANIFEST_LISTS_KEY, children_key, list_of};
use super::revision_cache::{MemorySize, Revisioned, single_shard};
use super::stream_view::StreamView;
use crate::domain::stream_index::StreamIndex;
use crate::meta::Status;
use crate::registry::pool::Workload;
use crate::registry::storage_errors::status_of;
use crate::store::{Entry, Key, Lookup, Revision, Store};

/// Memory for closures that are kept, in bytes. The largest one has room in it.
const CACHE_BYTES: u64 = 24 << 20;
/// The most bytes of names that a closure may have; some 230,000 digests.
const MAX_NAME_BYTES: usize = 16 << 20;
/// After this many reads in a row others get their turn.
const READS_PER_YIELD: usize = 64;
/// Revisions that are looked through for changes of lists. Gathering anew is cheaper than more of them, for most closures.
const MAX_LOG_REVISIONS: u64 = 1000;

/// The closures that are kept.
pub(super) struct ClosureCache {
    closures: Cache<StreamRevision, Arc<ImageClosure>, ClosureWeighter>,
    /// Held by the one who looks through the log, so that those who wait find that done.
    log_scan: Mutex<()>,
}

/// A stream at the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StreamRevision {
    stream: Key,
    revision: Revision,
}

/// The images of a stream with the children of those that list images.
#[derive(Debug)]
pub struct ImageClosure {
    /// The names of all of them.
    pub index: StreamIndex,
    /// The latest revision of the store as of which they are known to be right.
    current_at: AtomicU64,
}

impl ClosureCache {
    /// No closures yet.
    pub(super) fn new() -> Self {
        Self { closures: single_shard(CACHE_BYTES, ClosureWeighter), log_scan: Mutex::new(()) }
    }

    /// The closure of a stream, as fresh as the store, for a request with this load; a large one is gathered with a place of
    /// the pool.
    ///
    /// # Errors
    /// 413 for a closure that is too large; failures of the store.
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        load: &Workload,
        stream: &Revisioned<StreamView>,
    ) -> Result<Arc<ImageClosure>, Status> {
        let latest = store.latest().unwrap_or_default();
        let stream_revision = StreamRevision { stream: stream.key.clone(), revision: stream.revision() };
        match self.closures.get(&stream_revision).filter(|closure| closure.is_current_at(latest)) {
            Some(closure) => Ok(closure),
            // On the heap, for it would make the future of every request larger.
            None => Box::pin(self.load(store, load, stream, stream_revision, latest)).await,
        }
    }

    async fn load(
        &self,
        store: &dyn Store,
        load: &Workload,
        stream: &StreamView,
        stream_revision: StreamRevision,
        latest: Revision,
    ) -> Result<Arc<ImageClosure>, Status> {
        // Read after `latest`: it tells of every change of a list up to there.
        let changed = manifest_lists_revision(store).await?;
        loop {
            // Another request may have begun to gather before the change that this one must see.
            let closure =
                match self.closures.get_or_insert_async(&stream_revision, collect_closure(store, load, stream)).await {
                    Ok(closure) => closure,
                    Err(ClosureError::NeedsSlot) => {
                        load.acquire_slot().await;
                        continue;
                    }
                    Err(ClosureError::Failed(status)) => return Err(*status),
                };
            if self.is_current(store, &closure, changed).await {
                closure.set_current_at(latest);
                return Ok(closure);
            }
            self.closures.remove_if(&stream_revision, |cached| Arc::ptr_eq(cached, &closure));
        }
    }

    /// Returns true if a closure is current as of a change of some list.
    async fn is_current(&self, store: &dyn Store, closure: &ImageClosure, changed: Revision) -> bool {
        if changed <= closure.current_at() {
            return true;
        }
        let _turn = self.log_scan.lock().await;
        let since = closure.current_at();
        if changed <= since {
            return true;
        }
        if changed.0 - since.0 > MAX_LOG_REVISIONS {
            return false;
        }
        let mut changes = store.watch(MANIFEST_LISTS_KEY, since);
        while changes.revision() < changed {
            // What the log does not hold any more, or cannot be read, is a reason to gather anew.
            let Ok(batch) = changes.next().await else {
                return false;
            };
            if batch.events.iter().filter_map(|event| list_of(event.key())).any(|name| closure.index.contains(name)) {
                return false;
            }
        }
        closure.set_current_at(changed);
        true
    }
}

impl ImageClosure {
    fn current_at(&self) -> Revision {
        Revision(self.current_at.load(Ordering::Relaxed))
    }

    fn is_current_at(&self, latest: Revision) -> bool {
        latest != Revision(0) && self.current_at() == latest
    }

    fn set_current_at(&self, revision: Revision) {
        self.current_at.fetch_max(revision.0, Ordering::Relaxed);
    }
}

/// A closure that was not gathered. The next request that waits for it tries.
#[derive(Debug)]
enum ClosureError {
    /// It is large, and the request has no place for such work. The request must not wait for one
    /// while others wait for the closure: they may have the places.
    NeedsSlot,
    Failed(Box<Status>),
}

impl From<Status> for ClosureError {
    fn from(status: Status) -> Self {
        Self::Failed(Box::new(status))
    }
}

/// The revision of the last change of the children of any image; 0 where none lists images.
async fn manifest_lists_revision(store: &dyn Store) -> Result<Revision, Status> {
    Ok(row(store, &Key::new(MANIFEST_LISTS_KEY)).await?.map(|entry| entry.revision).unwrap_or_default())
}

async fn row(store: &dyn Store, key: &Key) -> Result<Option<Entry>, Status> {
    match store.get(key, None).await.map_err(|error| status_of(&error))? {
        Lookup::Found(entry) => Ok(Some(entry)),
        Lookup::Missing | Lookup::Unchanged => Ok(None),
    }
}

async fn collect_closure(
    store: &dyn Store,
    load: &Workload,
    stream: &StreamView,
) -> Result<Arc<ImageClosure>, ClosureError> {
    // Before the first child is read: what changes meanwhile is found in the log.
    let current_at = manifest_lists_revision(store).await?;
    let mut seen: HashSet<String> = stream.history.names().map(str::to_owned).collect();
    // What an unproved image lists may belong to anybody.
    let is_proved = |name: &str| !stream.unproved.contains_key(name);
    let mut pending: Vec<String> = seen.iter().filter(|name| is_proved(name)).cloned().collect();
    let mut bytes = seen.iter().map(String::len).sum();
    for step in 1.. {
        let Some(name) = pending.pop() else {
            break;
        };
        if step % READS_PER_YIELD == 0 {
            tokio::task::yield_now().await;
        }
        let known = pending.len();
        add_children(row(store, &children_key(&name)).await?, &mut seen, &mut pending, &mut bytes)?;
        let children = pending.split_off(known);
        pending.extend(children.into_iter().filter(|child| is_proved(child)));
        if !load.fits(bytes) {
            return Err(ClosureError::NeedsSlot);
        }
    }
    Ok(Arc::new(ImageClosure { index: StreamIndex::from_names(seen), current_at: AtomicU64::new(current_at.0) }))
}

/// Adds the children in a row, if there is one; those that are new are pending.
fn add_children(
    row: Option<Entry>,
    seen: &mut HashSet<String>,
    pending: &mut Vec<String>,
    bytes: &mut usize,
) -> Result<(), Status> {
    let Some(entry) = row else {
        return Ok(());
    };
    for child in String::from_utf8_lossy(&entry.value).lines().filter(|child| !child.is_empty()) {
        if seen.contains(child) {
            continue;
        }
        *bytes += child.len();
        if *bytes > MAX_NAME_BYTES {
            return Err(too_large());
        }
        seen.insert(child.to_owned());
        pending.push(child.to_owned());
    }
    Ok(())
}

fn too_large() -> Status {
    let text = format!(
        "the images that the stream's images list have names of more than {MAX_NAME_BYTES} bytes together: ask by the full \
         digest of an image in its history, or remove tags"
    );
    Status::failure(413, "RequestEntityTooLarge", text)
}

#[derive(Clone)]
struct ClosureWeighter;

impl Weighter<StreamRevision, Arc<ImageClosure>> for ClosureWeighter {
    fn weight(&self, stream_revision: &StreamRevision, closure: &Arc<ImageClosure>) -> u64 {
        (stream_revision.stream.as_str().len() + closure.memory_size()) as u64
    }
}

impl MemorySize for ImageClosure {
    fn memory_size(&self) -> usize {
        /// Memory besides the names, about.
        const ENTRY: usize = 200;
        ENTRY + self.index.size()
    }
}

#[cfg(test)]
mod tests;
