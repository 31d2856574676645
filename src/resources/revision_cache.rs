//! What is made of rows of the store and stored in memory, yet never older than the store.
//!
//! A value is made once for each revision of its row, while there is room. Each use asks the store whether the row is still
//! at that revision; while nothing at all was committed since the last use, not even that.

use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::meta::Status;
use crate::registry::pool::Workload;
use crate::registry::storage_errors::status_of;
use crate::store::{Entry, Key, Lookup, Revision, Store};

/// Something whose memory can be told, in bytes.
pub(super) trait MemorySize {
    /// About as much memory as it takes.
    fn memory_size(&self) -> usize;
}

/// Values by what tells their rows apart.
pub(super) struct RevisionCache<K, V> {
    stored: Cache<K, Arc<Revisioned<V>>, RevisionedWeighter>,
}

/// A value that was made of a row.
#[derive(Debug)]
pub struct Revisioned<V> {
    value: V,
    /// The revision of the row.
    revision: Revision,
    /// The latest revision of the store when the value was known to be right; 0 where that is never known.
    verified_at: AtomicU64,
}

impl<K: Hash + Eq, V: MemorySize> RevisionCache<K, V> {
    /// An empty cache for values of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self { stored: single_shard(bytes, RevisionedWeighter) }
    }

    /// The value of a row as it is now, for a request with this load; none where there is no row. `row_key` says which row
    /// that is, `make` makes the value of it, of a large row with a place of the pool.
    ///
    /// # Errors
    /// Failures of the store, and of `make`.
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        load: &Workload,
        key: K,
        row_key: impl Fn(&K) -> Key,
        make: impl Fn(Entry) -> Result<V, Status>,
    ) -> Result<Option<Arc<Revisioned<V>>>, Status> {
        loop {
            // Before the row is read: what is read then is at least as new, so a value is never held for newer than it is.
            let latest = store.latest().unwrap_or_default();
            let stored = self.stored.get(&key);
            if let Some(cached) = stored.as_ref().filter(|cached| cached.is_verified_at(latest)) {
                return Ok(Some(cached.clone()));
            }
            let known = stored.as_ref().map(|cached| cached.revision);
            let found = store.get(&row_key(&key), known).await.map_err(|error| status_of(&error))?;
            let cached = match (found, stored) {
                (Lookup::Unchanged, Some(cached)) => cached,
                (Lookup::Found(entry), _) if load.fits(entry.value.len()) => {
                    let revision = entry.revision;
                    let cached =
                        Arc::new(Revisioned { value: make(entry)?, revision, verified_at: AtomicU64::default() });
                    self.stored.insert(key, cached.clone());
                    cached
                }
                (Lookup::Found(entry), _) => {
                    drop(entry);
                    load.acquire_slot().await;
                    // Others may have made the value meanwhile.
                    continue;
                }
                (Lookup::Missing | Lookup::Unchanged, _) => {
                    self.stored.remove(&key);
                    return Ok(None);
                }
            };
            cached.verified_at.store(latest.0, Ordering::Relaxed);
            return Ok(Some(cached));
        }
    }
}

/// An empty cache for values of so many bytes.
///
/// It has one shard, since a cache refuses what does not fit into a shard, and a value may be as large as all of it.
pub(super) fn single_shard<K: Hash + Eq, V: Clone, W: Weighter<K, V> + Clone>(
    bytes: u64,
    weights: W,
) -> Cache<K, V, W> {
    let mut options = quick_cache::OptionsBuilder::new();
    options.shards(1).estimated_items_capacity(4096).weight_capacity(bytes);
    let options = options.build().expect("all options that are needed are given");
    Cache::with_options(options, weights, Default::default(), Default::default())
}

impl<V> Revisioned<V> {
    /// The revision of the row that the value was made of.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    fn is_verified_at(&self, latest: Revision) -> bool {
        latest != Revision(0) && self.verified_at.load(Ordering::Relaxed) == latest.0
    }
}

impl<V> Deref for Revisioned<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

#[derive(Clone)]
struct RevisionedWeighter;

impl<K, V: MemorySize> Weighter<K, Arc<Revisioned<V>>> for RevisionedWeighter {
    fn weight(&self, _: &K, cached: &Arc<Revisioned<V>>) -> u64 {
        /// Memory of an entry besides its value, about.
        const ENTRY: usize = 200;
        (ENTRY + cached.value.memory_size()) as u64
    }
}
