//! The open file, shared by readers, watchers and the writer: it provides transactions, and it
//! holds the state of the store.
//!
//! After an I/O error a redb handle rejects every call, reads too. The writer then closes the file
//! and opens it again, see [`super::recover`]. Each opening begins a new *generation*. A reader
//! that meets the error reports the generation that it has read from, and may wait for the next
//! one.
//!
//! ```text
//!             fail                 reopen, publish
//!  Open(n) ────────▶ Reopening ────────────────────▶ Open(n + 1)
//!     │                  │ stop
//!     │ close            ▼
//!     └─▶ Closed      Failed
//! ```

use std::fs::File;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadableDatabase, WriteTransaction};
use tokio::sync::{mpsc, watch as signal};

use crate::store::{Incident, Key, Lookup, Observer, Revision, StoreError};

use super::damaged_values::DamagedValues;
use super::error::{panicked, store_error};
use super::job::{Failure, Job};
use super::read::Snapshot;
use super::recent_values::RecentValues;

/// The longest wait of a read for a reopened file. Reopening takes milliseconds on a sound disk.
const REOPEN_WAIT: Duration = Duration::from_secs(1);

/// The open file and the state of the store.
pub(super) struct Handle {
    database: RwLock<Option<Database>>,
    /// The lock on the folder, held until the store is closed; `None` for a store in memory.
    lock: Mutex<Option<File>>,
    /// The snapshot of the latest commit; `None` unless the state is `Open`.
    published: RwLock<Option<Published>>,
    state: signal::Sender<State>,
    /// The youngest generation that was reported as failed.
    failed_generation: AtomicU64,
    /// The queue of the writer, for failure reports. Does not keep the writer alive.
    writer: OnceLock<mpsc::WeakSender<Job>>,
    observer: Observer,
    damaged_reads: AtomicU64,
    damaged_values: DamagedValues,
    recent_values: Arc<RecentValues>,
}

/// A snapshot and the generation of the file that it reads from.
#[derive(Clone)]
struct Published {
    generation: u64,
    snapshot: Arc<Snapshot>,
}

/// The state of the store.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// The file is open in this generation, counted from 1.
    Open(u64),
    /// The file failed for this reason; the writer is opening it again.
    Reopening(StoreError),
    /// The store failed for good.
    Failed(StoreError),
    /// The store was closed.
    Closed,
}

/// Transitions of the state. Only the writer calls them, but for [`Handle::close`].
impl Handle {
    /// A handle in the state `Open(1)`.
    pub(super) fn new(
        database: Database,
        lock: Option<File>,
        observer: Observer,
    ) -> Result<Self, StoreError> {
        let handle = Self {
            database: RwLock::new(Some(database)),
            lock: Mutex::new(lock),
            published: RwLock::default(),
            state: signal::Sender::new(State::Open(1)),
            failed_generation: AtomicU64::new(0),
            writer: OnceLock::new(),
            observer,
            damaged_reads: AtomicU64::new(0),
            damaged_values: DamagedValues::default(),
            recent_values: Arc::new(RecentValues::new()),
        };
        handle.publish_commit()?;
        Ok(handle)
    }

    /// Closes the failed file: `Open` → `Reopening`. Readers get the cause until [`Self::publish`].
    pub(super) fn fail(&self, cause: StoreError) {
        if let State::Open(generation) = *self.state.borrow() {
            self.failed_generation.fetch_max(generation, Ordering::SeqCst);
        }
        self.state.send_replace(State::Reopening(cause));
        self.close_file();
    }

    /// Takes a reopened file, which readers do not see yet. Returns its latest revision.
    pub(super) fn reopen(&self, database: Database) -> Result<Revision, StoreError> {
        let revision =
            database.begin_read().map_err(store_error).and_then(Snapshot::new)?.revision();
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(revision)
    }

    /// Shows readers the reopened file: `Reopening` → `Open` in the next generation.
    pub(super) fn publish(&self) -> Result<(), StoreError> {
        let generation = self.failed_generation.load(Ordering::SeqCst) + 1;
        self.publish_snapshot(generation)?;
        self.state.send_replace(State::Open(generation));
        Ok(())
    }

    /// Stops the store: every later call fails with this error.
    pub(super) fn stop(&self, failure: StoreError) {
        self.state.send_replace(State::Failed(failure));
        self.close_file();
    }

    /// Closes the file and releases the folder, even while watches or reads hold the handle.
    pub(super) fn close(&self) {
        self.state.send_if_modified(|state| {
            let is_running = !matches!(state, State::Failed(_) | State::Closed);
            if is_running {
                *state = State::Closed;
            }
            is_running
        });
        self.close_file();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Handle {
    /// Sets the queue of the writer, once.
    pub(super) fn set_writer(&self, writer: mpsc::WeakSender<Job>) {
        // A store has one writer, so the cell is empty.
        let _ = self.writer.set(writer);
    }

    /// Reads from the latest snapshot, on the calling thread.
    ///
    /// redb panics on some kinds of damage. A panic of `read` is caught and becomes `Corrupt`.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Published { generation, snapshot } = self.published()?;
        catch_unwind(AssertUnwindSafe(move || read(&snapshot)))
            .unwrap_or_else(|panic| Err(panicked(&*panic)))
            .map_err(|error| self.on_error(generation, error))
    }

    /// Reads as [`Self::read`], and once more if the file fails and is reopened in time.
    pub(super) async fn read_with_retry<T>(
        &self,
        read: impl Fn(&Snapshot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.read(&read) {
            Err(StoreError::Unavailable(_)) if self.wait_recovered().await => self.read(read),
            result => result,
        }
    }

    /// Waits up to [`REOPEN_WAIT`] for a failed file to be reopened. Returns true if it was.
    pub(super) async fn wait_recovered(&self) -> bool {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| match state {
            State::Open(generation) => *generation > self.failed_generation.load(Ordering::SeqCst),
            State::Reopening(_) => false,
            State::Failed(_) | State::Closed => true,
        });
        let settled = tokio::time::timeout(REOPEN_WAIT, settled).await;
        settled.is_ok_and(|settled| settled.is_ok_and(|state| matches!(*state, State::Open(_))))
    }

    /// A write transaction whose commit is durable and needs no repair after a crash.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let mut txn = self.with_database(|database| database.begin_write().map_err(store_error))?;
        txn.set_quick_repair(true);
        Ok(txn)
    }

    /// Shows readers the latest commit. Must come before the commit is acknowledged or watched.
    pub(super) fn publish_commit(&self) -> Result<(), StoreError> {
        let generation = self.generation().ok_or_else(|| self.unavailable())?;
        self.publish_snapshot(generation)
    }

    /// The large values that were used last.
    pub(super) fn recent_values(&self) -> &RecentValues {
        &self.recent_values
    }

    /// The revision that readers see; `None` unless the file is open.
    pub(super) fn latest(&self) -> Option<Revision> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        published.as_ref().map(|published| published.snapshot.revision())
    }

    /// The state and its changes.
    pub(super) fn state(&self) -> signal::Receiver<State> {
        self.state.subscribe()
    }

    /// The generation of the open file; `None` unless the file is open.
    pub(super) fn generation(&self) -> Option<u64> {
        if let State::Open(generation) = *self.state.borrow() { Some(generation) } else { None }
    }

    /// The reason why the writer has ended.
    pub(super) fn writer_ended(&self) -> StoreError {
        if let State::Failed(error) = &*self.state.borrow() {
            error.clone()
        } else {
            StoreError::Closed
        }
    }

    /// Handles an error before the caller gets it: reports damage to the observer, and a failed
    /// file to the writer.
    pub(super) fn on_error(&self, generation: u64, error: StoreError) -> StoreError {
        if let StoreError::Damaged { key, revision } = &error {
            self.damaged_values.add(key, *revision);
        }
        match &error {
            StoreError::Damaged { .. } | StoreError::Corrupt { .. } => {
                self.damaged_reads.fetch_add(1, Ordering::Relaxed);
                self.notify(Incident::Damaged);
            }
            StoreError::Unavailable(_) => self.report_failure(generation, &error),
            // The file was closed during this read.
            StoreError::Closed => return self.unavailable(),
            _ => {}
        }
        error
    }

    /// Reports an incident to the observer.
    pub(super) fn notify(&self, incident: Incident) {
        (self.observer.0)(incident);
    }

    /// See [`crate::store::Store::known_damage`].
    pub(super) fn known_damage(&self, prefix: &str) -> Vec<(Key, Revision)> {
        if self.damaged_values.is_empty() {
            return Vec::new();
        }
        let Ok(Published { snapshot, .. }) = self.published() else { return Vec::new() };
        self.damaged_values.under(prefix, |key, revision| {
            matches!(snapshot.get(key, Some(revision)), Ok(Lookup::Unchanged))
        })
    }

    /// Records a damaged value that a read has met and passed over.
    pub(super) fn record_damage(&self, key: &Key, revision: Revision) {
        self.damaged_values.add(key, revision);
        self.damaged_reads.fetch_add(1, Ordering::Relaxed);
        self.notify(Incident::Damaged);
    }

    /// The number of reads that met damage.
    pub(super) fn damaged_reads(&self) -> u64 {
        self.damaged_reads.load(Ordering::Relaxed)
    }

    fn report_failure(&self, generation: u64, cause: &StoreError) {
        if self.failed_generation.fetch_max(generation, Ordering::SeqCst) >= generation {
            return;
        }
        if let Some(writer) = self.writer.get().and_then(mpsc::WeakSender::upgrade) {
            // With a full queue, the writer is about to meet the failure itself.
            let _ = writer.try_send(Job::Recover(Failure { generation, cause: cause.clone() }));
        }
    }

    /// The error of a call while the file is not open.
    fn unavailable(&self) -> StoreError {
        match &*self.state.borrow() {
            State::Reopening(error) | State::Failed(error) => error.clone(),
            State::Open(_) => {
                let reason = "the file was being opened again";
                StoreError::Unavailable(Arc::new(io::Error::new(ErrorKind::Interrupted, reason)))
            }
            State::Closed => StoreError::Closed,
        }
    }

    fn publish_snapshot(&self, generation: u64) -> Result<(), StoreError> {
        let begin = |database: &Database| {
            let txn = database.begin_read().map_err(store_error)?;
            Snapshot::sharing(txn, self.recent_values.clone())
        };
        let snapshot = Arc::new(self.with_database(begin)?);
        let published = Published { generation, snapshot };
        let before =
            self.published.write().unwrap_or_else(PoisonError::into_inner).replace(published);
        // Dropped without the lock: dropping a snapshot may free pages.
        drop(before);
        Ok(())
    }

    fn published(&self) -> Result<Published, StoreError> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner).clone();
        published.ok_or_else(|| self.unavailable())
    }

    fn close_file(&self) {
        drop(self.published.write().unwrap_or_else(PoisonError::into_inner).take());
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // Closing writes, and redb may panic on damage. Acknowledged commits are durable already.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(database))) {
            tracing::error!(error = %panicked(&*panic), "closing the data file failed");
        }
    }

    fn with_database<T>(
        &self,
        f: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => f(database),
            None => Err(self.unavailable()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
