//! The ability to compact a store.

use futures_util::future::BoxFuture;

use super::{Revision, StoreError};

/// Compacts a store, see *Compaction* in the contract of [`super::Store`].
pub trait Compact: Send + Sync + 'static {
    /// Removes everything that only revisions below `at` can see.
    ///
    /// A revision that is compacted already is no error. If the future is dropped or fails
    /// half-way, reads below `at` fail as if it were complete, and the next compaction finishes the
    /// work.
    ///
    /// # Errors
    /// `Future` for a revision above the latest; any failure of the store.
    fn compact(&self, at: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
}
