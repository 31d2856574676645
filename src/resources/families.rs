//! The families of streams: the images in a history and, recursively, the parts of those that list images.
//!
//! A family is gathered when it is first needed, once for all requests that wait for it, and kept while there is room. It
//! stays right until the list of one of *its* images changes. That is found out from the log of the store: an
//! image that lists images changes the row `LISTS` in the same transaction, so while that row is as old as the
//! family nothing has changed at all, and otherwise the changes since then tell of which images they are.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use super::catalog::StreamView;
use super::fresh::{Fresh, Weigh, single_shard};
use super::lists::{LISTS, image_of, parts_key};
use crate::domain::stream_index::StreamIndex;
use crate::meta::Status;
use crate::registry::pool::Workload;
use crate::registry::storage_errors::status_of;
use crate::store::{Entry, Key, Lookup, Revision, Store};

/// Memory for families that are kept, in bytes. The largest one has room in it.
const CACHE_BYTES: u64 = 24 << 20;
/// The most bytes of names that a family may have; some 230,000 digests.
const MOST_BYTES: usize = 16 << 20;
/// After this many reads in a row others get their turn.
const READS_AT_A_TIME: usize = 64;
/// Revisions that are looked through for changes of lists. Gathering anew is cheaper than more of them, for most families.
const MOST_REVISIONS: u64 = 1000;

/// The families that are kept.
pub(super) struct Families {
    kept: Cache<Generation, Arc<Family>, Weights>,
    /// Held by the one who looks through the log, so that those who wait find that done.
    looking: Mutex<()>,
}

/// A stream at the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Generation {
    stream: Key,
    row: Revision,
}

/// The images of a stream with the parts of those that list images.
#[derive(Debug)]
pub struct Family {
    /// The names of all of them.
    pub index: StreamIndex,
    /// The latest revision of the store as of which they are known to be right.
    right_at: AtomicU64,
}

impl Families {
    /// No families yet.
    pub(super) fn new() -> Self {
        Self { kept: single_shard(CACHE_BYTES, Weights), looking: Mutex::new(()) }
    }

    /// The family of a stream, as fresh as the store, for a request with this load; a large one is gathered with a place of
    /// the pool.
    ///
    /// # Errors
    /// 413 for a family that is too large; failures of the store.
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        load: &Workload,
        stream: &Fresh<StreamView>,
    ) -> Result<Arc<Family>, Status> {
        let latest = store.latest().unwrap_or_default();
        let generation = Generation { stream: stream.key.clone(), row: stream.row() };
        match self.kept.get(&generation).filter(|family| family.is_right_at(latest)) {
            Some(family) => Ok(family),
            // On the heap, for it would make the future of every request larger.
            None => Box::pin(self.find_out(store, load, stream, generation, latest)).await,
        }
    }

    async fn find_out(
        &self,
        store: &dyn Store,
        load: &Workload,
        stream: &StreamView,
        generation: Generation,
        latest: Revision,
    ) -> Result<Arc<Family>, Status> {
        // Read after `latest`: it tells of every change of a list up to there.
        let changed = revision_of_lists(store).await?;
        loop {
            // Another request may have begun to gather before the change that this one must see.
            let family = match self.kept.get_or_insert_async(&generation, gather(store, load, stream)).await {
                Ok(family) => family,
                Err(Ungathered::NeedsPlace) => {
                    load.take_place().await;
                    continue;
                }
                Err(Ungathered::Refused(status)) => return Err(*status),
            };
            if self.is_right(store, &family, changed).await {
                family.note_right_at(latest);
                return Ok(family);
            }
            self.kept.remove_if(&generation, |kept| Arc::ptr_eq(kept, &family));
        }
    }

    /// Returns true if a family is current as of a change of some list.
    async fn is_right(&self, store: &dyn Store, family: &Family, changed: Revision) -> bool {
        if changed <= family.right_at() {
            return true;
        }
        let _turn = self.looking.lock().await;
        let since = family.right_at();
        if changed <= since {
            return true;
        }
        if changed.0 - since.0 > MOST_REVISIONS {
            return false;
        }
        let mut changes = store.watch(LISTS, since);
        while changes.revision() < changed {
            // What the log does not hold any more, or cannot be read, is a reason to gather anew.
            let Ok(batch) = changes.next().await else {
                return false;
            };
            if batch.events.iter().filter_map(|event| image_of(event.key())).any(|name| family.index.contains(name)) {
                return false;
            }
        }
        family.note_right_at(changed);
        true
    }
}

impl Family {
    fn right_at(&self) -> Revision {
        Revision(self.right_at.load(Ordering::Relaxed))
    }

    fn is_right_at(&self, latest: Revision) -> bool {
        latest != Revision(0) && self.right_at() == latest
    }

    fn note_right_at(&self, revision: Revision) {
        self.right_at.fetch_max(revision.0, Ordering::Relaxed);
    }
}

/// A family that was not gathered. The next request that waits for it tries.
#[derive(Debug)]
enum Ungathered {
    /// It is large, and the request has no place for such work. The request must not wait for one
    /// while others wait for the family: they may have the places.
    NeedsPlace,
    Refused(Box<Status>),
}

impl From<Status> for Ungathered {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// The revision of the last change of the parts of any image; 0 where none lists images.
async fn revision_of_lists(store: &dyn Store) -> Result<Revision, Status> {
    Ok(row(store, &Key::new(LISTS)).await?.map(|entry| entry.revision).unwrap_or_default())
}

async fn row(store: &dyn Store, key: &Key) -> Result<Option<Entry>, Status> {
    match store.get(key, None).await.map_err(|error| status_of(&error))? {
        Lookup::Found(entry) => Ok(Some(entry)),
        Lookup::Missing | Lookup::Unchanged => Ok(None),
    }
}

async fn gather(store: &dyn Store, load: &Workload, stream: &StreamView) -> Result<Arc<Family>, Ungathered> {
    // Before the first part is read: what changes meanwhile is found in the log.
    let right_at = revision_of_lists(store).await?;
    let mut seen: HashSet<String> = stream.history.names().map(str::to_owned).collect();
    // What an unproved image lists may belong to anybody.
    let is_proved = |name: &str| !stream.unproved.contains_key(name);
    let mut open: Vec<String> = seen.iter().filter(|name| is_proved(name)).cloned().collect();
    let mut bytes = seen.iter().map(String::len).sum();
    for step in 1.. {
        let Some(name) = open.pop() else {
            break;
        };
        if step % READS_AT_A_TIME == 0 {
            tokio::task::yield_now().await;
        }
        let known = open.len();
        add_parts(row(store, &parts_key(&name)).await?, &mut seen, &mut open, &mut bytes)?;
        let parts = open.split_off(known);
        open.extend(parts.into_iter().filter(|part| is_proved(part)));
        if !load.fits(bytes) {
            return Err(Ungathered::NeedsPlace);
        }
    }
    Ok(Arc::new(Family { index: StreamIndex::from_names(seen), right_at: AtomicU64::new(right_at.0) }))
}

/// Adds the parts in a row, if there is one; those that are new are open.
fn add_parts(
    row: Option<Entry>,
    seen: &mut HashSet<String>,
    open: &mut Vec<String>,
    bytes: &mut usize,
) -> Result<(), Status> {
    let Some(entry) = row else {
        return Ok(());
    };
    for part in String::from_utf8_lossy(&entry.value).lines().filter(|part| !part.is_empty()) {
        if seen.contains(part) {
            continue;
        }
        *bytes += part.len();
        if *bytes > MOST_BYTES {
            return Err(too_large());
        }
        seen.insert(part.to_owned());
        open.push(part.to_owned());
    }
    Ok(())
}

fn too_large() -> Status {
    let text = format!(
        "the images that the stream's images list have names of more than {MOST_BYTES} bytes together: ask by the full \
         digest of an image in its history, or remove tags"
    );
    Status::failure(413, "RequestEntityTooLarge", text)
}

#[derive(Clone)]
struct Weights;

impl Weighter<Generation, Arc<Family>> for Weights {
    fn weight(&self, generation: &Generation, family: &Arc<Family>) -> u64 {
        (generation.stream.as_str().len() + family.weigh()) as u64
    }
}

impl Weigh for Family {
    fn weigh(&self) -> usize {
        /// Memory besides the names, about.
        const ENTRY: usize = 200;
        ENTRY + self.index.size()
    }
}

#[cfg(test)]
mod tests;
