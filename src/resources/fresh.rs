//! What is made of rows of the store and kept in memory, yet never older than the store.
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
pub(super) trait Weigh {
    /// About as much memory as it takes.
    fn weigh(&self) -> usize;
}

/// Values by what tells their rows apart.
pub(super) struct FreshCache<K, V> {
    kept: Cache<K, Arc<Fresh<V>>, Weights>,
}

/// A value that was made of a row.
#[derive(Debug)]
pub struct Fresh<V> {
    value: V,
    /// The revision of the row.
    row: Revision,
    /// The latest revision of the store when the value was known to be right; 0 where that is never known.
    sure_at: AtomicU64,
}

impl<K: Hash + Eq, V: Weigh> FreshCache<K, V> {
    /// An empty cache for values of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self { kept: single_shard(bytes, Weights) }
    }

    /// The value of a row as it is now, for a request with this load; none where there is no row. `row_of` says which row
    /// that is, `make` makes the value of it, of a large row with a place of the pool.
    ///
    /// # Errors
    /// Failures of the store, and of `make`.
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        load: &Workload,
        key: K,
        row_of: impl Fn(&K) -> Key,
        make: impl Fn(Entry) -> Result<V, Status>,
    ) -> Result<Option<Arc<Fresh<V>>>, Status> {
        loop {
            // Before the row is read: what is read then is at least as new, so a value is never held for newer than it is.
            let latest = store.latest().unwrap_or_default();
            let kept = self.kept.get(&key);
            if let Some(fresh) = kept.as_ref().filter(|fresh| fresh.is_sure_at(latest)) {
                return Ok(Some(fresh.clone()));
            }
            let known = kept.as_ref().map(|fresh| fresh.row);
            let found = store.get(&row_of(&key), known).await.map_err(|error| status_of(&error))?;
            let fresh = match (found, kept) {
                (Lookup::Unchanged, Some(fresh)) => fresh,
                (Lookup::Found(entry), _) if load.fits(entry.value.len()) => {
                    let row = entry.revision;
                    let fresh = Arc::new(Fresh { value: make(entry)?, row, sure_at: AtomicU64::default() });
                    self.kept.insert(key, fresh.clone());
                    fresh
                }
                (Lookup::Found(entry), _) => {
                    drop(entry);
                    load.take_place().await;
                    // Others may have made the value meanwhile.
                    continue;
                }
                (Lookup::Missing | Lookup::Unchanged, _) => {
                    self.kept.remove(&key);
                    return Ok(None);
                }
            };
            fresh.sure_at.store(latest.0, Ordering::Relaxed);
            return Ok(Some(fresh));
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

impl<V> Fresh<V> {
    /// The revision of the row that the value was made of.
    pub(super) fn row(&self) -> Revision {
        self.row
    }

    fn is_sure_at(&self, latest: Revision) -> bool {
        latest != Revision(0) && self.sure_at.load(Ordering::Relaxed) == latest.0
    }
}

impl<V> Deref for Fresh<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

#[derive(Clone)]
struct Weights;

impl<K, V: Weigh> Weighter<K, Arc<Fresh<V>>> for Weights {
    fn weight(&self, _: &K, fresh: &Arc<Fresh<V>>) -> u64 {
        /// Memory of an entry besides its value, about.
        const ENTRY: usize = 200;
        (ENTRY + fresh.value.weigh()) as u64
    }
}
