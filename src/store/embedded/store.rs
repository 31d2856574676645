//! [`Embedded`], the store itself: reads from the handle, and sends changes to the writer.

use std::future;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch as signal};

use crate::store::{
    Account, AccountUsage, Accounting, Backend, Compact, DiskUsage, Key, Lookup, MAX_VALUE_BYTES,
    OpenError, Opened, Outcome, Outline, Page, Range, Revision, SoleReplica, Store, StoreError,
    StoreHealth, TermGuard, Txn, Watch,
};

use super::backup::Backups;
use super::compact::CompactProgress;
use super::copy_on_write;
use super::data_file::DataFile;
use super::error::panicked;
use super::handle::{Handle, State};
use super::job::{Job, QUEUE, Ticket};
use super::ledger::Ledger;
use super::memory;
use super::open::{self, Open};
use super::options::Options;
use super::read::Snapshot;
use super::recover::Recovery;
use super::repack::Repacking;
use super::scan::Scans;
use super::space::{Room, Space};
use super::structure;
use super::watch::Watcher;
use super::writer::Writer;

/// The most changes of a transaction that delay others for some milliseconds only.
const MAX_CHANGES: usize = 2500;

/// The store in a folder.
///
/// Dropping it finishes the queued jobs, which takes a few milliseconds, closes the file and
/// releases the folder. Open watches end with `Closed`.
pub struct Embedded {
    handle: Arc<Handle>,
    space: Arc<Space>,
    ledger: Arc<Ledger>,
    latest: signal::Receiver<Revision>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// The data file; `None` in memory.
    file: Option<PathBuf>,
}

impl Embedded {
    /// Opens a folder, and creates a store if there is none. Blocks while another process holds the
    /// folder; not for a thread of a runtime that serves.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::start(open::open(&options)?, options)
    }

    /// Opens a folder that must hold a store.
    pub fn open_existing(options: Options) -> Result<Self, OpenError> {
        Self::start(open::open_existing(&options)?, options)
    }

    /// Opens a folder that must hold a store. Writes stay in memory; the file does not change.
    pub fn open_read_only(options: Options) -> Result<Self, OpenError> {
        let options = Options { opener: copy_on_write::opener(), ..options };
        Self::start(open::open_read_only(&options)?, options)
    }

    /// Creates an empty store in memory, which is lost when it is dropped.
    ///
    /// # Errors
    /// The thread of the writer cannot be started.
    pub fn in_memory() -> Result<Self, OpenError> {
        let options = memory::options();
        let database = memory::create(&options)?;
        let mut store = Self::start(Open { database, lock: None }, options)?;
        store.file = None;
        Ok(store)
    }

    fn start(open: Open, options: Options) -> Result<Self, OpenError> {
        let file = options.data_file();
        let unusable = |error| open::unusable(&file, error);
        let Open { database, lock } = open;
        let handle =
            Arc::new(Handle::new(database, lock, options.observer.clone()).map_err(unusable)?);
        let space = Arc::new(Space::new(options.dir.clone(), options.reserve.clone()));
        let ledger = Arc::new(Ledger::new(options.account_limit));
        let opened = handle.read(|snapshot| {
            space.set_reusable(snapshot.reusable()?);
            ledger.load(snapshot)?;
            structure::verify(snapshot)?;
            snapshot.current()
        });
        let current = opened.map_err(unusable)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        handle.set_writer(jobs.downgrade());
        let (publish, latest) = signal::channel(current);
        let dir = options.dir.clone();
        let writer = Writer {
            handle: handle.clone(),
            space: space.clone(),
            ledger: ledger.clone(),
            jobs: queue,
            latest: publish,
            recovery: Recovery::new(options),
            repacking: Repacking::default(),
            release_pages: false,
        };
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::NotWritable { path: dir, source })?;
        Ok(Self {
            handle,
            space,
            ledger,
            latest,
            jobs: Some(jobs),
            writer: Some(writer),
            file: Some(file),
        })
    }

    /// Creates backups. Does not keep the store open.
    pub fn backups(&self) -> Backups {
        Backups { handle: self.handle.clone() }
    }

    /// Creates scanners. Does not keep the store open.
    pub fn scans(&self) -> Scans {
        Scans { handle: self.handle.clone(), latest: self.latest.clone() }
    }

    /// Reports the disk usage; `None` in memory. Does not keep the store open.
    pub fn disk_usage(&self) -> Option<DataFile> {
        let path = self.file.clone()?;
        Some(DataFile { path, handle: self.handle.clone(), space: self.space.clone() })
    }

    /// Queues a job and waits for its result.
    async fn submit<W, T>(&self, job: fn(Ticket<W, T>) -> Job, work: W) -> Result<T, StoreError> {
        let (ticket, result): (_, oneshot::Receiver<_>) = Ticket::new(work);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job(ticket)).await.map_err(|_| self.handle.writer_ended())?;
        result.await.map_err(|_| self.handle.writer_ended())?
    }

    /// Reads a range on a blocking thread, and once more if the file fails and is reopened in time.
    async fn read_range<T: Send + 'static>(
        &self,
        range: Range,
        read: fn(&Snapshot, &Range) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.read_range_once(range.clone(), read).await {
            Err(StoreError::Unavailable(_)) if self.handle.wait_recovered().await => {
                self.read_range_once(range, read).await
            }
            result => result,
        }
    }

    async fn read_range_once<T: Send + 'static>(
        &self,
        range: Range,
        read: fn(&Snapshot, &Range) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let handle = self.handle.clone();
        match tokio::task::spawn_blocking(move || handle.read(|snapshot| read(snapshot, &range)))
            .await
        {
            Ok(result) => result,
            // `read` catches panics; the other reason is a runtime that shuts down.
            Err(error) => error
                .try_into_panic()
                .map_or(Err(StoreError::Closed), |panic| Err(panicked(&*panic))),
        }
    }

    async fn compact_to(&self, at: Revision) -> Result<(), StoreError> {
        let current = self.handle.read_with_retry(Snapshot::current).await?;
        if at > current {
            return Err(StoreError::Future { requested: at, current });
        }
        self.submit(Job::RaiseCompacted, at).await?;
        // A group holds one step of this loop at most, so commits are not held up.
        while self.submit(Job::CompactStep, ()).await? == CompactProgress::More {}
        Ok(())
    }
}

impl Store for Embedded {
    fn get<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(
            async move { self.handle.read_with_retry(|snapshot| snapshot.get(key, known)).await },
        )
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
            if let Some(TermGuard { work, .. }) = &txn.term {
                let reason = format!("another store has granted the term for {work}");
                return Err(StoreError::Invalid { reason });
            }
            self.submit(Job::Commit, txn).await
        })
    }

    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch> {
        Box::new(Watcher::new(self.handle.clone(), self.latest.clone(), prefix.to_owned(), after))
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.handle.read_with_retry(Snapshot::current))
    }

    fn latest(&self) -> Option<Revision> {
        self.handle.latest()
    }

    fn max_changes(&self) -> usize {
        MAX_CHANGES
    }

    fn max_bytes(&self) -> u64 {
        MAX_VALUE_BYTES as u64
    }

    fn known_damage(&self, prefix: &str) -> Vec<(Key, Revision)> {
        self.handle.known_damage(prefix)
    }
}

impl Compact for Embedded {
    fn compact(&self, at: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.compact_to(at))
    }
}

impl Accounting for Embedded {
    fn usage(&self, account: &Account) -> AccountUsage {
        self.ledger.usage(account)
    }

    fn largest(&self) -> Option<(Account, AccountUsage)> {
        self.ledger.largest()
    }
}

impl StoreHealth for Embedded {
    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { self.handle.read(Snapshot::current).map(drop) })
    }

    fn warnings(&self) -> Vec<String> {
        let full = match self.space.room() {
            Room::Plenty => None,
            Room::Scarce(_) => Some("no space is left: only deletions are accepted".to_owned()),
            Room::Out(_) => Some("no space is left: nothing is written".to_owned()),
        };
        let damaged = match self.handle.damaged_reads() {
            0 => None,
            times => Some(format!("damaged data was read {times} times since the start")),
        };
        full.into_iter().chain(damaged).collect()
    }

    fn failed(&self) -> BoxFuture<'static, StoreError> {
        let mut state = self.handle.state();
        Box::pin(async move {
            if let Ok(state) = state.wait_for(|state| matches!(state, State::Failed(_))).await
                && let State::Failed(failure) = &*state
            {
                return failure.clone();
            }
            // The store was closed instead.
            future::pending().await
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // The writer catches its panics and stops the store with them.
            let _ = writer.join();
        }
        self.handle.close();
    }
}

impl From<Embedded> for Opened {
    fn from(store: Embedded) -> Self {
        let (backup, scan) = (Arc::new(store.backups()), Arc::new(store.scans()));
        let disk_usage = store.disk_usage();
        let store = Arc::new(store);
        Self {
            backend: Backend::Embedded,
            health: store.clone(),
            elector: Arc::new(SoleReplica),
            compact: Some(store.clone()),
            accounting: Some(store.clone()),
            backup: Some(backup),
            scan: Some(scan),
            disk_usage: disk_usage.map(|usage| Arc::new(usage) as Arc<dyn DiskUsage>),
            quota: None,
            store,
        }
    }
}
