//! The store in one file, on redb: the default, for a server with a single replica and a volume.
//!
//! ```text
//!   get, range ──────────────┐                     ┌── watchers: each reads the log from its own cursor
//!                            ▼                     ▼
//!                    [read]  snapshots of  <dir>/store.redb
//!                                          ▲
//!   commit, compact ── queue ── [writer] ──┘  one thread; what waits shares one durable commit
//! ```
//!
//! *Where reads run.* `get` and watchers read on the calling thread: an index row and a value are microseconds in the
//! page cache and tens of them when a page is read from disk, less than the way to another thread. `range` may read any
//! number of values and runs on tokio's blocking threads, so it needs a tokio runtime.
//!
//! *Damage.* Every row carries a checksum that every read verifies, see `layout`. A wrong value is `Damaged`, never
//! returned; a wrong index row or a panic of redb is `Corrupt`.
//!
//! *Failure.* After an I/O error or a panic in a commit the writer opens the file again; reads wait a moment for that, and
//! are `Unavailable` if it takes longer. When opening fails, or the file soon fails again, the store answers nothing but
//! that failure, and [`Embedded::broken`] resolves: the process should end. When space runs out, transactions are `Full`
//! and reads go on.
//!
//! *Counting.* A [`Survey`] tells, in small steps, of every value under some prefixes and then of what has changed.
//!
//! *Care.* [`Backups`] are made of a snapshot while everything goes on; [`restore()`] makes a store of one, under another
//! name until all of it is verified. [`examine()`] and [`Embedded::open_to_look`] leave the file as it is, whatever is wrong
//! with it. [`shrink()`] needs the folder for itself.
//!
//! Nothing outside of this folder sees redb.

use std::future::{self, Future};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch as signal};

use super::{Key, Lookup, Outcome, Outline, Page, Range, Revision, Store, StoreError, Txn, Watch};

mod archive;
mod backend;
mod backup;
mod error;
mod examine;
mod group;
mod incident;
mod layout;
mod lock;
mod open;
mod overlay;
mod private;
mod read;
mod recover;
mod restore;
mod shared;
mod shrink;
mod space;
mod survey;
mod trim;
mod watch;
mod writer;

pub use archive::{ArchiveError, ArchiveReader, Head, Summary};
pub use backend::{BackendError, FileBackend, OpenFile, Opener, StorageBackend, open_file};
pub use backup::{BackupError, Backups};
pub use error::OpenError;
pub use examine::{Examination, Faults, examine};
pub use incident::{Incident, Observer};
pub use open::{DATA_FILE, Options, first_revision};
pub use private::{create_new, open_to_others};
pub use restore::{Restore, RestoreError, Restored, beginning, restore};
pub use shrink::{FileSize, Shrunk, shrink};
pub use space::{FreeSpace, Reserve};
pub use survey::{Counting, Difference, FileState, Step, Survey};

use open::Open;
use read::Snapshot;
use recover::Recovery;
use shared::{Condition, Shared, panicked};
use space::{Room, Space};
use trim::Trimmed;
use watch::Watcher;
use writer::{Job, QUEUE, Ticket, Writer};

/// The longest value that is accepted, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// The store in a folder.
///
/// Dropping it finishes what is queued, which takes a few milliseconds, closes the file and gives up the folder. Watches
/// that are still about end with `Closed`.
pub struct Embedded {
    shared: Arc<Shared>,
    space: Arc<Space>,
    latest: signal::Receiver<Revision>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the folder, waiting for another process to leave it; makes a store if there is none. Blocks; not for a thread
    /// of a runtime that serves.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::start(open::open(&options)?, options)
    }

    /// The same for a folder that must hold a store: makes nothing.
    pub fn open_existing(options: Options) -> Result<Self, OpenError> {
        Self::start(open::open_existing(&options)?, options)
    }

    /// The same, to look at what is there: whatever is written is forgotten, and the file stays as it is.
    pub fn open_to_look(options: Options) -> Result<Self, OpenError> {
        Self::open_existing(Options { opener: overlay::opener(), ..options })
    }

    fn start(open: Open, options: Options) -> Result<Self, OpenError> {
        let unusable = |error| open::unusable(&options.dir.join(DATA_FILE), error);
        let shared = Arc::new(Shared::new(open, options.observer.clone()).map_err(unusable)?);
        let current = shared.read(Snapshot::current).map_err(unusable)?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        shared.introduce(jobs.downgrade());
        let (publish, latest) = signal::channel(current);
        let space = Arc::new(Space::new(options.dir.clone(), options.reserve.clone()));
        let dir = options.dir.clone();
        let recovery = Recovery { options, done: None };
        let writer = Writer {
            shared: shared.clone(),
            space: space.clone(),
            jobs: waiting,
            latest: publish,
            recovery,
            sweeps: false,
        };
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::NotWritable { path: dir, source })?;
        Ok(Self { shared, space, latest, jobs: Some(jobs), writer: Some(writer) })
    }

    /// Resolves with the reason when the store has stopped for good, which only a new process can mend.
    pub fn broken(&self) -> impl Future<Output = StoreError> + Send + use<> {
        let mut condition = self.shared.condition();
        async move {
            if let Ok(condition) = condition.wait_for(|condition| matches!(condition, Condition::Broken(_))).await
                && let Condition::Broken(failure) = &*condition
            {
                return failure.clone();
            }
            // The store was closed instead.
            future::pending().await
        }
    }

    /// Makes backups of it, for whoever is not to keep it open.
    pub fn backups(&self) -> Backups {
        Backups { shared: self.shared.clone() }
    }

    /// Counts what is stored under some prefixes, for whoever is not to keep it open.
    pub fn survey(&self, prefixes: Vec<String>) -> Survey {
        Survey::new(self.shared.clone(), self.space.clone(), self.latest.clone(), prefixes)
    }

    /// Queues a job and waits for its answer.
    async fn ask<W, T>(&self, job: fn(Ticket<W, T>) -> Job, work: W) -> Result<T, StoreError> {
        let (ticket, answer): (_, oneshot::Receiver<_>) = Ticket::new(work);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job(ticket)).await.map_err(|_| self.shared.gone())?;
        answer.await.map_err(|_| self.shared.gone())?
    }

    /// Reads a range on a thread of its own, once more if the file fails and is soon opened again.
    async fn read_range<T: Send + 'static>(
        &self,
        range: Range,
        read: fn(&Snapshot, &Range) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.read_range_once(range.clone(), read).await {
            Err(StoreError::Unavailable(_)) if self.shared.is_recovered().await => {
                self.read_range_once(range, read).await
            }
            answer => answer,
        }
    }

    async fn read_range_once<T: Send + 'static>(
        &self,
        range: Range,
        read: fn(&Snapshot, &Range) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        match tokio::task::spawn_blocking(move || shared.read(|snapshot| read(snapshot, &range))).await {
            Ok(answer) => answer,
            // Panics are caught inside, so what is left is a runtime that shuts down.
            Err(error) => error.try_into_panic().map_or(Err(StoreError::Closed), |panic| Err(panicked(&*panic))),
        }
    }

    async fn compact_to(&self, at: Revision) -> Result<(), StoreError> {
        let current = self.shared.read_patiently(Snapshot::current).await?;
        if at > current {
            return Err(StoreError::Future { requested: at, current });
        }
        self.ask(Job::Raise, at).await?;
        // One step in each group at most, so commits get in between.
        while self.ask(Job::Trim, ()).await? == Trimmed::More {}
        Ok(())
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a Key, known: Option<Revision>) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(async move { self.shared.read_patiently(|snapshot| snapshot.get(key, known)).await })
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(self.read_range(range, Snapshot::range))
    }

    fn outline(&self, range: Range) -> BoxFuture<'_, Result<Outline, StoreError>> {
        Box::pin(self.read_range(range, Snapshot::outline))
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            txn.validate(MAX_VALUE_BYTES)?;
            self.ask(Job::Commit, txn).await
        })
    }

    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch> {
        Box::new(Watcher::new(self.shared.clone(), self.latest.clone(), prefix.to_owned(), after))
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.shared.read_patiently(Snapshot::current))
    }

    fn compact(&self, at: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.compact_to(at))
    }

    fn latest(&self) -> Option<Revision> {
        self.shared.latest()
    }

    fn healthy(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { self.shared.read(Snapshot::current).map(drop) })
    }

    fn warnings(&self) -> Vec<String> {
        let full = match self.space.room() {
            Room::Plenty => None,
            Room::Scarce(_) => Some("no space is left: only deletions are accepted".to_owned()),
            Room::Out(_) => Some("no space is left: nothing is written".to_owned()),
        };
        let damaged = match self.shared.damages() {
            0 => None,
            times => Some(format!("something damaged was read, {times} times since the start")),
        };
        full.into_iter().chain(damaged).collect()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // Its panics are caught inside and reported as the failure of the store.
            let _ = writer.join();
        }
        self.shared.close();
    }
}
