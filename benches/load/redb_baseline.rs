//! Throughput of redb alone: clients send rows to one thread, which groups all waiting rows into
//! one durable commit, and wait for it. No HTTP, JSON, guards, revisions or checksums: one table of
//! keys and values.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use imagestream_apiserver::store::embedded::open_file;
use redb::{Builder, Database, Durability, TableDefinition, WriteTransaction};

use crate::corpus::{self, IMAGES_PER_STREAM};
use crate::figures::{Figures, Latencies};
use crate::seed::Seed;
use crate::site::Site;
use crate::slow_disk::SlowDisk;
use crate::template::{Put, Template};
use crate::turn::{Clock, Stopwatch, Times};
use fastrand::Rng;

const FILE: &str = "redb";
const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rows");
/// Size of the page cache; a larger one is not faster.
const CACHE_BYTES: usize = 16 << 20;
/// Maximum number of pushes per commit, in a turn and during the fill.
const GROUP: usize = 256;

/// redb file with as many images as the server's store.
pub(crate) struct RedbBaseline {
    seed: Seed,
    template: Template,
    streams: usize,
}

/// Repair cost after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    /// Default of redb: the whole file is read after a crash.
    Usual,
    /// Quick repair, as the store uses it.
    QuickRepair,
}

/// Conditions of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Number of clients that write.
    pub(crate) clients: usize,
    /// Kind of commits.
    pub(crate) commits: Commits,
    /// Delay of each sync.
    pub(crate) delay: Duration,
}

struct Job {
    rows: Vec<Put>,
    done: SyncSender<()>,
}

impl RedbBaseline {
    /// Creates the file with the rows of the template.
    ///
    /// # Errors
    /// Errors of redb.
    pub(crate) fn fill(site: &Site, template: Template, images: usize) -> anyhow::Result<Self> {
        let folder = site.data()?;
        let database =
            Builder::new().set_cache_size(CACHE_BYTES).create(folder.path().join(FILE))?;
        let mut rng = Rng::with_seed(1);
        for first in (0..images).step_by(GROUP) {
            let mut txn = database.begin_write()?;
            txn.set_durability(Durability::None)?;
            for number in first..images.min(first + GROUP) {
                put(&txn, &template.push(number, &corpus::stream_of(number), &mut rng))?;
            }
            txn.commit()?;
        }
        // Makes earlier non-durable commits durable.
        database.begin_write()?.commit()?;
        drop(database);
        Ok(Self { seed: Seed(folder), template, streams: images.div_ceil(IMAGES_PER_STREAM) })
    }

    /// The rows of a push.
    #[cfg(feature = "etcd")]
    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// Runs a turn on a copy of the file.
    ///
    /// # Errors
    /// Errors of redb.
    pub(crate) fn turn(&self, site: &Site, terms: Terms, times: Times) -> anyhow::Result<Figures> {
        let copy = self.seed.copy(site)?;
        let database = open(&copy.path().join(FILE), terms.delay)?;
        let clock = &Clock::new(terms.clients, times);
        let (jobs, waiting) = mpsc::sync_channel(terms.clients);
        let next_stream = &AtomicUsize::new(self.streams);
        let parts = thread::scope(|scope| {
            let committing = scope.spawn(move || commit_all(&database, &waiting, terms.commits));
            let clients: Vec<_> = (0..terms.clients)
                .map(|number| {
                    let jobs = jobs.clone();
                    scope.spawn(move || {
                        self.write(&jobs, next_stream, Rng::with_seed(number as u64 + 2), clock)
                    })
                })
                .collect();
            drop(jobs);
            committing.join().map_err(|_| anyhow!("the thread that commits panicked"))??;
            let parts = clients
                .into_iter()
                .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
            parts.collect::<anyhow::Result<Vec<_>>>()
        })?;
        Ok(Figures::of(&Latencies::of(parts), times.window))
    }

    /// Loop of one client.
    fn write(
        &self,
        jobs: &SyncSender<Job>,
        next_stream: &AtomicUsize,
        mut rng: Rng,
        clock: &Clock,
    ) -> anyhow::Result<Vec<u32>> {
        let mut watch = Stopwatch::start(clock);
        let (done, answer) = mpsc::sync_channel(1);
        while watch.runs() {
            let stream = corpus::stream_name(next_stream.fetch_add(1, Ordering::Relaxed));
            for image in 0..self.template.images() {
                if !watch.runs() {
                    break;
                }
                let rows = self.template.push(image, &stream, &mut rng);
                jobs.send(Job { rows, done: done.clone() })
                    .context("the committing thread has ended")?;
                answer.recv().context("the committing thread has ended")?;
                watch.lap();
            }
        }
        Ok(watch.latencies)
    }
}

fn open(path: &Path, delay: Duration) -> anyhow::Result<Database> {
    let disk = SlowDisk::open(open_file(path)?, delay);
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(disk)?)
}

/// Commits waiting jobs until all senders are gone.
fn commit_all(
    database: &Database,
    waiting: &Receiver<Job>,
    commits: Commits,
) -> anyhow::Result<()> {
    while let Ok(first) = waiting.recv() {
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(commits == Commits::QuickRepair);
        let mut group = Vec::with_capacity(GROUP);
        group.push(first);
        group.extend(waiting.try_iter().take(GROUP - 1));
        for job in &group {
            put(&txn, &job.rows)?;
        }
        txn.commit()?;
        for job in group {
            // The client has left if its turn is over.
            let _ = job.done.send(());
        }
    }
    Ok(())
}

fn put(txn: &WriteTransaction, rows: &[Put]) -> anyhow::Result<()> {
    let mut table = txn.open_table(TABLE)?;
    for (key, value) in rows {
        table.insert(key.as_str(), value.as_ref())?;
    }
    Ok(())
}
