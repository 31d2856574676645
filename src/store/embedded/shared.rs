//! The open file as readers, watchers and the writer share it: how each gets a transaction, in what condition the store
//! is, and how failures of redb turn into errors of the store. Decides nothing about content.
//!
//! After an I/O error a handle of redb answers nothing any more, reads neither. Then the writer closes the file and opens
//! it again, see [`super::recover`]; each time makes a new *generation*. A reader that meets such an error reports the
//! generation that it read from, and may wait a moment for the next.

use std::any::Any;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadableDatabase, WriteTransaction};
use tokio::sync::{mpsc, watch as signal};

use crate::store::{Revision, StoreError};

use super::incident::{Incident, Observer};
use super::open::Open;
use super::read::Snapshot;
use super::writer::{Job, Suspicion};

/// How long a read waits for the file to be opened again. That takes milliseconds, unless the disk is broken.
const PATIENCE: Duration = Duration::from_secs(1);

/// What all handles of one store have in common.
pub(super) struct Shared {
    database: RwLock<Option<Database>>,
    /// Held as long as the store is open, also while the file is not.
    lock: Mutex<Option<File>>,
    /// The state after the latest commit; none while the file is not open.
    latest: RwLock<Option<Live>>,
    condition: signal::Sender<Condition>,
    /// The youngest generation that was reported as failed.
    suspected: AtomicU64,
    /// The way to the writer, for whoever reports a failure. Does not keep the writer going.
    writer: OnceLock<mpsc::WeakSender<Job>>,
    observer: Observer,
    damages: AtomicU64,
}

/// A snapshot and the generation of the file that it comes from.
#[derive(Clone)]
struct Live {
    generation: u64,
    snapshot: Arc<Snapshot>,
}

/// Whether there is a file to read from.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// There is, in this generation, counted from 1.
    Open(u64),
    /// It failed for this reason and is being opened again.
    Recovering(StoreError),
    /// It failed for good.
    Broken(StoreError),
    /// The store was closed.
    Closed,
}

impl Shared {
    pub(super) fn new(open: Open, observer: Observer) -> Result<Self, StoreError> {
        let shared = Self {
            database: RwLock::new(Some(open.database)),
            lock: Mutex::new(Some(open.lock)),
            latest: RwLock::default(),
            condition: signal::Sender::new(Condition::Open(1)),
            suspected: AtomicU64::new(0),
            writer: OnceLock::new(),
            observer,
            damages: AtomicU64::new(0),
        };
        shared.renew()?;
        Ok(shared)
    }

    /// Tells readers where the writer is.
    pub(super) fn introduce(&self, writer: mpsc::WeakSender<Job>) {
        // There is one writer in the life of a store.
        let _ = self.writer.set(writer);
    }

    /// Reads from the latest snapshot, on the calling thread.
    ///
    /// redb panics on some kinds of damage; a panic below is caught here and becomes `Corrupt`.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Snapshot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Live { generation, snapshot } = self.live()?;
        catch_unwind(AssertUnwindSafe(move || f(&snapshot)))
            .unwrap_or_else(|panic| Err(panicked(&*panic)))
            .map_err(|error| self.examine(generation, error))
    }

    /// The same, once more if the file fails and is soon opened again.
    pub(super) async fn read_patiently<T>(
        &self,
        f: impl Fn(&Snapshot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.read(&f) {
            Err(StoreError::Unavailable(_)) if self.is_recovered().await => self.read(f),
            answer => answer,
        }
    }

    /// Waits a moment for a file that failed to be opened again; whether it was.
    pub(super) async fn is_recovered(&self) -> bool {
        let mut condition = self.condition.subscribe();
        let settled = condition.wait_for(|condition| match condition {
            Condition::Open(generation) => *generation > self.suspected.load(Ordering::SeqCst),
            Condition::Recovering(_) => false,
            Condition::Broken(_) | Condition::Closed => true,
        });
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        settled.is_ok_and(|settled| settled.is_ok_and(|condition| matches!(*condition, Condition::Open(_))))
    }

    /// A write transaction whose commit is durable and needs no repair after a crash.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let mut txn = self.with_database(|database| database.begin_write().map_err(fault))?;
        txn.set_quick_repair(true);
        Ok(txn)
    }

    /// Shows readers what was committed. Must come before anybody is told of the commit.
    pub(super) fn renew(&self) -> Result<(), StoreError> {
        let generation = self.generation().ok_or_else(|| self.why())?;
        self.show(generation)
    }

    /// The revision that readers see; none while there is no telling, such as after a failure.
    pub(super) fn latest(&self) -> Option<Revision> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().map(|live| live.snapshot.revision())
    }

    /// Takes the file away from readers and closes it, because it failed. They are told so until it is back.
    pub(super) fn suspend(&self, cause: StoreError) {
        if let Condition::Open(generation) = *self.condition.borrow() {
            self.suspected.fetch_max(generation, Ordering::SeqCst);
        }
        self.condition.send_replace(Condition::Recovering(cause));
        self.close_file();
    }

    /// Gives readers a file again, and tells the revision that it has reached.
    pub(super) fn resume(&self, database: Database) -> Result<Revision, StoreError> {
        let revision = database.begin_read().map_err(fault).and_then(Snapshot::new)?.revision();
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(revision)
    }

    /// Lets readers in again, after [`Self::resume`].
    pub(super) fn reveal(&self) -> Result<(), StoreError> {
        let generation = self.suspected.load(Ordering::SeqCst) + 1;
        self.show(generation)?;
        self.condition.send_replace(Condition::Open(generation));
        Ok(())
    }

    /// Stops the store: every call from now on answers this error.
    pub(super) fn fail(&self, failure: StoreError) {
        self.condition.send_replace(Condition::Broken(failure));
        self.close_file();
    }

    /// Closes the file and gives up the folder, also when watches or reads are still about.
    pub(super) fn close(&self) {
        self.condition.send_if_modified(|condition| {
            let lives = !matches!(condition, Condition::Broken(_) | Condition::Closed);
            if lives {
                *condition = Condition::Closed;
            }
            lives
        });
        self.close_file();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// In what condition the store is, now and later.
    pub(super) fn condition(&self) -> signal::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// The present generation of the file, if it is open.
    pub(super) fn generation(&self) -> Option<u64> {
        if let Condition::Open(generation) = *self.condition.borrow() { Some(generation) } else { None }
    }

    /// Why the writer is gone.
    pub(super) fn gone(&self) -> StoreError {
        if let Condition::Broken(error) = &*self.condition.borrow() { error.clone() } else { StoreError::Closed }
    }

    /// Looks at an error before it is answered: tells the observer of damage, and the writer of a failed file.
    pub(super) fn examine(&self, generation: u64, error: StoreError) -> StoreError {
        match &error {
            StoreError::Damaged { .. } | StoreError::Corrupt { .. } => {
                self.damages.fetch_add(1, Ordering::Relaxed);
                self.notice(Incident::Damaged);
            }
            StoreError::Unavailable(_) => self.suspect(generation, &error),
            // The file was closed under this read.
            StoreError::Closed => return self.why(),
            _ => {}
        }
        error
    }

    /// Tells the observer.
    pub(super) fn notice(&self, incident: Incident) {
        (self.observer.0)(incident);
    }

    /// How often something was read that is not what was written.
    pub(super) fn damages(&self) -> u64 {
        self.damages.load(Ordering::Relaxed)
    }

    fn suspect(&self, generation: u64, cause: &StoreError) {
        if self.suspected.fetch_max(generation, Ordering::SeqCst) >= generation {
            return;
        }
        if let Some(writer) = self.writer.get().and_then(mpsc::WeakSender::upgrade) {
            // Where there is no room for it, the writer is about to meet the failure itself.
            let _ = writer.try_send(Job::Recover(Suspicion { generation, cause: cause.clone() }));
        }
    }

    /// Why there is nothing to read from.
    fn why(&self) -> StoreError {
        match &*self.condition.borrow() {
            Condition::Recovering(error) | Condition::Broken(error) => error.clone(),
            Condition::Open(_) => {
                let reason = "the file was being opened again";
                StoreError::Unavailable(Arc::new(io::Error::new(ErrorKind::Interrupted, reason)))
            }
            Condition::Closed => StoreError::Closed,
        }
    }

    fn show(&self, generation: u64) -> Result<(), StoreError> {
        let begin = |database: &Database| database.begin_read().map_err(fault).and_then(Snapshot::new);
        let snapshot = Arc::new(self.with_database(begin)?);
        let live = Live { generation, snapshot };
        let before = self.latest.write().unwrap_or_else(PoisonError::into_inner).replace(live);
        drop(before);
        Ok(())
    }

    fn live(&self) -> Result<Live, StoreError> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner).clone();
        latest.ok_or_else(|| self.why())
    }

    fn close_file(&self) {
        drop(self.latest.write().unwrap_or_else(PoisonError::into_inner).take());
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // Closing writes, and redb may panic on damage that it meets there. What is acknowledged is safe before.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(database))) {
            tracing::error!("while closing the store: {}", panicked(&*panic));
        }
    }

    fn with_database<T>(&self, f: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => f(database),
            None => Err(self.why()),
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
    let reason = format!("the database panicked: {text}");
    if text.contains("PoisonError") {
        // It follows from an earlier panic, and the handle will do nothing else from now on.
        return StoreError::Unavailable(Arc::new(io::Error::other(reason)));
    }
    StoreError::Corrupt { reason }
}

/// A row that cannot be what was written.
pub(super) fn damaged_row(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("the checksum of {what} does not match") }
}
