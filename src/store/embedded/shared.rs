//! The open file as readers, watchers and the writer share it: how each gets a transaction, and how failures of redb
//! turn into errors of the store. Decides nothing about content.

use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, WriteTransaction};

use crate::store::{Revision, StoreError};

use super::read::Snapshot;

/// The database together with the lock on its folder. Dropped in this order.
pub(super) struct Open {
    pub(super) database: Database,
    pub(super) _lock: File,
}

/// What all handles of one store have in common.
pub(super) struct Shared {
    open: RwLock<Option<Open>>,
    /// The state after the latest commit; none before the first read, which comes before the writer starts.
    latest: RwLock<Option<Arc<Snapshot>>>,
    failure: OnceLock<StoreError>,
}

impl Shared {
    pub(super) fn new(open: Open) -> Self {
        Self { open: RwLock::new(Some(open)), latest: RwLock::default(), failure: OnceLock::new() }
    }

    /// Reads from the latest snapshot, on the calling thread.
    ///
    /// redb panics on some kinds of damage; a panic below is caught here and becomes `Corrupt`.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Snapshot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        catch_unwind(AssertUnwindSafe(|| f(&*self.snapshot()?))).unwrap_or_else(|panic| Err(panicked(&*panic)))
    }

    /// A write transaction whose commit is durable and needs no repair after a crash.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let mut txn = self.with_database(|database| database.begin_write().map_err(fault))?;
        txn.set_quick_repair(true);
        Ok(txn)
    }

    /// Stops the store: every call from now on answers this error.
    pub(super) fn fail(&self, failure: StoreError) {
        // Only the first failure is the cause; later ones follow from it.
        let _ = self.failure.set(failure);
    }

    /// Why the writer is gone.
    pub(super) fn gone(&self) -> StoreError {
        self.failure.get().cloned().unwrap_or(StoreError::Closed)
    }

    /// Closes the file and gives up the folder, also when watches or reads are still about.
    pub(super) fn close(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.latest.write().unwrap_or_else(PoisonError::into_inner).take());
        // Closing writes, and redb may panic on damage that it meets there. What is acknowledged is safe before.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(open))) {
            tracing::error!("while closing the store: {}", panicked(&*panic));
        }
    }

    /// Shows readers what was committed. Must come before anybody is told of the commit.
    pub(super) fn renew(&self) -> Result<Arc<Snapshot>, StoreError> {
        let begin = |database: &Database| database.begin_read().map_err(fault).and_then(Snapshot::new);
        let snapshot = Arc::new(self.with_database(begin)?);
        let before = self.latest.write().unwrap_or_else(PoisonError::into_inner).replace(snapshot.clone());
        drop(before);
        Ok(snapshot)
    }

    /// The revision that readers see; none while there is no telling, such as after a failure.
    pub(super) fn latest(&self) -> Option<Revision> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|_| self.failure.get().is_none()).map(|snapshot| snapshot.revision())
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner).clone();
        latest.map_or_else(|| self.renew(), Ok)
    }

    fn with_database<T>(&self, f: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            Some(open) => f(&open.database),
            None => Err(StoreError::Closed),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

/// The error of the store for an error of redb.
pub(super) fn fault(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(reason) => StoreError::Corrupt { reason },
        redb::Error::DatabaseClosed => StoreError::Closed,
        other => StoreError::Unavailable(Arc::new(other)),
    }
}

/// The error of the store for a panic of redb.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    StoreError::Corrupt { reason: format!("the database panicked: {text}") }
}

/// A row that cannot be what was written.
pub(super) fn damaged_row(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("the checksum of {what} does not match") }
}
