//! Image closures of streams: the images in the history and, recursively, the children of manifest
//! lists.
//!
//! A closure is collected on first use, once for all concurrent requests, and cached. It stays
//! valid until one of *its* manifest lists changes. If the last change of any list is not newer than
//! the closure, it is current; otherwise the log of the store names the lists that changed since.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use super::list_children::{ListChildren, RowError};
use super::manifest_lists::list_of;
use super::openshift_layout::StoredForm;
use super::revision_cache::{MemorySize, Revisioned, single_shard};
use super::stream_view::StreamView;
use crate::domain::stream_index::StreamIndex;
use crate::meta::Status;
use crate::registry::workload::Workload;
use crate::store::{Key, ReadPoint, Revision, Store};

/// The minimum size of the cache, in bytes. The largest closure fits.
const MIN_CACHE_BYTES: u64 = 24 << 20;
/// The maximum size of the names in a closure, in bytes: about 230,000 digests.
const MAX_NAME_BYTES: usize = 16 << 20;
/// The number of reads after which a task yields.
const READS_PER_YIELD: usize = 64;
/// The maximum number of revisions to scan in the log. Beyond it, collecting again is usually
/// cheaper.
const MAX_LOG_REVISIONS: u64 = 1000;

/// A cache of image closures.
pub(super) struct ClosureCache {
    closures: Cache<StreamRevision, Arc<ImageClosure>, ClosureWeighter>,
    children: ListChildren,
    /// Held during a scan of the log, so that waiting requests find it done.
    log_scan: Mutex<()>,
}

/// A stream at the revision of its last write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StreamRevision {
    stream: Key,
    revision: Revision,
}

/// The images of a stream and, recursively, the children of its manifest lists.
#[derive(Debug)]
pub struct ImageClosure {
    /// The names of the images.
    pub index: StreamIndex,
    /// The latest revision of the store at which the closure is known to be current.
    current_at: AtomicU64,
}

impl ClosureCache {
    /// An empty cache of this size, or larger, for a store with objects of this form.
    pub(super) fn new(stored_form: StoredForm, bytes: u64) -> Self {
        Self {
            closures: single_shard(bytes.max(MIN_CACHE_BYTES), ClosureWeighter),
            children: ListChildren::new(stored_form),
            log_scan: Mutex::new(()),
        }
    }

    /// The current closure of a stream. Large closures are collected in a slot of the pool.
    ///
    /// # Errors
    /// A damaged row, 413 for a closure that is too large, 429 if the memory is used up, and store
    /// failures.
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        load: &Workload,
        stream: &Revisioned<StreamView>,
    ) -> Result<Arc<ImageClosure>, RowError> {
        let latest = store.latest().unwrap_or_default();
        let stream_revision =
            StreamRevision { stream: stream.key.clone(), revision: stream.revision() };
        match self.closures.get(&stream_revision).filter(|closure| closure.is_current_at(latest)) {
            Some(closure) => Ok(closure),
            // Boxed, because it would enlarge the future of every request.
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
    ) -> Result<Arc<ImageClosure>, RowError> {
        // Read after `latest`, so it covers all changes up to there.
        let changed = self.children.revision(store).await?;
        loop {
            // A concurrent request may have started before the change that this one must see.
            let closure = match self
                .closures
                .get_or_insert_async(
                    &stream_revision,
                    collect_closure(store, &self.children, load, stream),
                )
                .await
            {
                Ok(closure) => closure,
                Err(ClosureError::NeedsMemory(bytes)) => {
                    load.reserve(bytes).await?;
                    continue;
                }
                Err(ClosureError::Failed(error)) => return Err(error),
            };
            if self.is_current(store, &closure, changed).await {
                closure.set_current_at(latest);
                return Ok(closure);
            }
            self.closures.remove_if(&stream_revision, |cached| Arc::ptr_eq(cached, &closure));
        }
    }

    /// Returns true if a closure is current as of a change of some manifest list.
    async fn is_current(
        &self,
        store: &dyn Store,
        closure: &ImageClosure,
        changed: Revision,
    ) -> bool {
        if changed <= closure.current_at() {
            return true;
        }
        let _turn = self.log_scan.lock().await;
        let since = closure.current_at();
        if changed <= since {
            return true;
        }
        let Some(rows) = self.children.rows().filter(|_| changed.0 - since.0 <= MAX_LOG_REVISIONS)
        else {
            return false;
        };
        let mut changes = store.watch(rows, since);
        while changes.revision() < changed {
            // If the log is compacted or unreadable, the closure is collected again.
            let Ok(batch) = changes.next().await else {
                return false;
            };
            if batch
                .events
                .iter()
                .filter_map(|event| list_of(event.key()))
                .any(|name| closure.index.contains(name))
            {
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

/// The reason why a closure was not collected. The next waiting request tries again.
#[derive(Debug)]
enum ClosureError {
    /// The request must reserve memory for this many bytes of names. It must not wait for that while
    /// others wait for the closure.
    NeedsMemory(usize),
    Failed(RowError),
}

impl From<RowError> for ClosureError {
    fn from(error: RowError) -> Self {
        Self::Failed(error)
    }
}

async fn collect_closure(
    store: &dyn Store,
    list_children: &ListChildren,
    load: &Workload,
    stream: &StreamView,
) -> Result<Arc<ImageClosure>, ClosureError> {
    // Read before the first child, so that the log covers later changes.
    let current_at = list_children.revision(store).await?;
    let point = ReadPoint::default();
    let mut names: HashSet<String> = stream.history.names().map(str::to_owned).collect();
    // The children of an unproved image may belong to other streams.
    let is_proved = |name: &str| !stream.unproved.contains_key(name);
    let mut pending: Vec<String> = names.iter().filter(|name| is_proved(name)).cloned().collect();
    let mut bytes = names.iter().map(String::len).sum();
    for step in 1.. {
        let Some(name) = pending.pop() else {
            break;
        };
        if step % READS_PER_YIELD == 0 {
            tokio::task::yield_now().await;
        }
        let known = pending.len();
        let children = list_children.of(store, &point, &name).await?;
        add_children(children, &mut names, &mut pending, &mut bytes)?;
        let children = pending.split_off(known);
        pending.extend(children.into_iter().filter(|child| is_proved(child)));
        if !load.fits(bytes) {
            return Err(ClosureError::NeedsMemory(bytes));
        }
    }
    Ok(Arc::new(ImageClosure {
        index: StreamIndex::from_names(names),
        current_at: AtomicU64::new(current_at.0),
    }))
}

/// Adds the children of a list; new ones become pending.
fn add_children(
    children: Vec<String>,
    names: &mut HashSet<String>,
    pending: &mut Vec<String>,
    bytes: &mut usize,
) -> Result<(), RowError> {
    for child in children {
        if names.contains(&child) {
            continue;
        }
        *bytes += child.len();
        if *bytes > MAX_NAME_BYTES {
            return Err(too_large().into());
        }
        names.insert(child.clone());
        pending.push(child);
    }
    Ok(())
}

fn too_large() -> Status {
    let text = format!(
        "the names of the stream's images and of their child manifests take more than {MAX_NAME_BYTES} bytes: use the full \
         digest of an image in the history, or remove tags"
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
        /// Estimated memory besides the names, in bytes.
        const ENTRY: usize = 200;
        ENTRY + self.index.size()
    }
}

#[cfg(test)]
mod tests;
