//! The health of a store.

use futures_util::future::BoxFuture;

use super::StoreError;

/// The health of a store, for probes and for the supervisor of the process.
pub trait StoreHealth: Send + Sync + 'static {
    /// Checks that the store can serve reads.
    ///
    /// # Errors
    /// The reason why it cannot serve them.
    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Checks that the store can serve reads, and has loaded what writes need. Cheap enough for a
    /// readiness probe. A full disk is no failure.
    ///
    /// # Errors
    /// The reason why it is not ready.
    fn ready_for_writes(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ready()
    }

    /// Problems of a store that still serves, for its operator. They name no stored key.
    fn warnings(&self) -> Vec<String>;

    /// Resolves with the cause when the store has failed for good and needs a new process. Never
    /// resolves when the store is closed.
    fn failed(&self) -> BoxFuture<'static, StoreError>;
}
