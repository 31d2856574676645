//! The large values that were written or read last, and others that replaced one.
//!
//! A value at a position never changes once it is durable, so nothing needs to be invalidated. The
//! next write of a large object needs its last value for the difference, and the readers of a
//! change need both. An object that was changed is often changed again.

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use super::layout::Position;

/// Size of a large value in bytes. Smaller ones cost little to read and to store whole.
pub(super) const LARGE_VALUE: usize = 32 << 10;
/// Size in bytes from which a value that replaces another one is kept. Smaller ones are not worth
/// the memory of their entries.
const REPLACING_VALUE: usize = 2 << 10;
/// Bytes of all values.
const MAX_BYTES: u64 = 8 << 20;

/// Returns true if a value that is written, in place of the one at `replaced`, is worth keeping.
pub(super) fn is_kept_if_written(value: &[u8], replaced: Option<Position>) -> bool {
    let least = replaced.map_or(LARGE_VALUE, |_| REPLACING_VALUE);
    value.len() >= least
}

/// Durable values by position.
pub(super) struct RecentValues(Cache<Position, Bytes, BytesWeighter>);

impl RecentValues {
    /// No values.
    pub(super) fn new() -> Self {
        // The default number of shards would leave no room for a large value in any of them.
        let mut options = OptionsBuilder::new();
        let capacity = MAX_BYTES as usize / LARGE_VALUE;
        options.shards(1).estimated_items_capacity(capacity).weight_capacity(MAX_BYTES);
        let options = options.build().expect("all required options are set");
        let (hasher, lifecycle) = Default::default();
        Self(Cache::with_options(options, BytesWeighter, hasher, lifecycle))
    }

    /// The value at a position, if it is known.
    pub(super) fn get(&self, at: Position) -> Option<Bytes> {
        self.0.get(&at)
    }

    /// Keeps a durable value that was read if it is large.
    pub(super) fn insert_read(&self, at: Position, value: &Bytes) {
        if value.len() >= LARGE_VALUE {
            self.insert(at, value);
        }
    }

    /// Keeps a durable value.
    pub(super) fn insert(&self, at: Position, value: &Bytes) {
        self.0.insert(at, value.clone());
    }
}

#[derive(Clone)]
struct BytesWeighter;

impl Weighter<Position, Bytes> for BytesWeighter {
    fn weight(&self, _: &Position, value: &Bytes) -> u64 {
        value.len() as u64
    }
}
