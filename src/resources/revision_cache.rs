//! Caches of values that are computed from rows and never older than the store.
//!
//! A value is computed once per revision of its row. Each use checks in the store that the row is
//! still at that revision, unless nothing was committed since the last use.

use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::meta::Status;
use crate::registry::storage_errors::status_of;
use crate::registry::workload::Workload;
use crate::store::{Entry, Key, Lookup, ReadPoint, Revision, Store, StoreError};

/// A value with a known memory size.
pub(super) trait MemorySize {
    /// An estimate of the memory, in bytes.
    fn memory_size(&self) -> usize;
}

/// A cache of values by keys that identify their rows.
pub(super) struct RevisionCache<K, V> {
    stored: Cache<K, Arc<Revisioned<V>>, RevisionedWeighter>,
}

/// An error of [`RevisionCache::get`].
#[derive(Debug)]
pub(super) enum CacheError {
    /// The row is damaged.
    Damaged(Key, Revision),
    /// Any other error.
    Failed(Box<Status>),
}

impl From<Status> for CacheError {
    fn from(status: Status) -> Self {
        Self::Failed(Box::new(status))
    }
}

impl From<CacheError> for Status {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Damaged(key, revision) => status_of(&StoreError::Damaged { key, revision }),
            CacheError::Failed(status) => *status,
        }
    }
}

/// A value with the revision of its row.
#[derive(Debug)]
pub struct Revisioned<V> {
    value: V,
    /// The revision of the row.
    revision: Revision,
    /// The latest revision of the store at which the value is known to be current; 0 if unknown.
    verified_at: AtomicU64,
}

impl<K: Hash + Eq, V: MemorySize> RevisionCache<K, V> {
    /// An empty cache of this size, in bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self { stored: single_shard(bytes, RevisionedWeighter) }
    }

    /// The value of the current row; none if there is no row. `row_key` maps a key to that of its
    /// row, `make` computes the value, for large rows in a slot of the pool. Reads with the same
    /// `point` share their freshness.
    ///
    /// # Errors
    /// A damaged row, 429 if the memory is used up, store failures, and the errors of `make`.
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        (load, point): (&Workload, &ReadPoint),
        key: K,
        row_key: impl Fn(&K) -> Key,
        make: impl Fn(Entry) -> Result<V, Status>,
    ) -> Result<Option<Arc<Revisioned<V>>>, CacheError> {
        loop {
            // Before the row is read, so that a value never counts as newer than it is.
            let latest = store.latest().unwrap_or_default();
            let stored = self.stored.get(&key);
            if let Some(cached) = stored.as_ref().filter(|cached| cached.is_verified_at(latest)) {
                return Ok(Some(cached.clone()));
            }
            let known = stored.as_ref().map(|cached| cached.revision);
            let found =
                store.get_since(&row_key(&key), known, point).await.map_err(
                    |error| match error {
                        StoreError::Damaged { key, revision } => CacheError::Damaged(key, revision),
                        error => status_of(&error).into(),
                    },
                )?;
            let cached = match (found, stored) {
                (Lookup::Unchanged, Some(cached)) => cached,
                (Lookup::Found(entry), _) if load.fits(entry.value.len()) => {
                    let revision = entry.revision;
                    let cached = Arc::new(Revisioned::once(make(entry)?, revision));
                    self.stored.insert(key, cached.clone());
                    cached
                }
                (Lookup::Found(entry), _) => {
                    let stored = entry.value.len();
                    drop(entry);
                    // Boxed, because it would enlarge the future of every request.
                    Box::pin(load.reserve(stored)).await?;
                    // Another request may have computed the value in the meantime.
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

/// An empty cache of this size, in bytes.
///
/// It has one shard, because quick_cache rejects values that do not fit into a shard, and one value
/// may fill the whole cache.
pub(super) fn single_shard<K: Hash + Eq, V: Clone, W: Weighter<K, V> + Clone>(
    bytes: u64,
    weights: W,
) -> Cache<K, V, W> {
    let mut options = quick_cache::OptionsBuilder::new();
    options.shards(1).estimated_items_capacity(4096).weight_capacity(bytes);
    let options = options.build().expect("all required options are set");
    Cache::with_options(options, weights, Default::default(), Default::default())
}

impl<V> Revisioned<V> {
    /// A value that is not cached.
    pub(super) fn once(value: V, revision: Revision) -> Self {
        Self { value, revision, verified_at: AtomicU64::default() }
    }

    /// The revision of the row.
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
        /// Estimated memory of an entry besides its value, in bytes.
        const ENTRY: usize = 200;
        (ENTRY + cached.value.memory_size()) as u64
    }
}
