//! Power failures under the embedded store. A workload runs on a disk that records every write;
//! each test then builds a possible state of the disk after a power failure at any point, and opens
//! the store on it.
//!
//! Data that was not synced may be present, missing or torn, in any combination.
//! `STORE_POWER_ROUNDS` (default 1) is the number of workloads, each cut at every single write and
//! at some writes several times; `STORE_POWER_SEED` repeats the workload with the printed seed. The
//! short run opens about a thousand disks; a round takes a few seconds.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Folder, Options};
use imagestream_apiserver::store::{
    Account, At, Batch, Change, Charge, Entry, Event, Guard, Maintenance, Outcome, Revision,
    StoreError, Txn, Watch,
};
use redb::Builder;

use crate::disk::{Disk, Operation, Written};
use crate::embedded_lab::{incompressible, options};
use crate::harness::{Steps, TestStore, key, next, put, within};

/// Number of transactions of a workload.
const STEPS: usize = 30;
const KEYS: usize = 12;
/// Number of disk states to read, beside the first and the last; on some disks all are read.
const STATES: usize = 3;
/// One of this number of disks is checked completely.
const THOROUGH: usize = 32;

/// Reproducible pseudorandom numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % most as u64).unwrap()
    }

    fn one_in(&mut self, most: usize) -> bool {
        self.below(most) == 0
    }
}

/// Acknowledged revision, and the length of the journal at that time.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    journal: usize,
    revision: Revision,
}

type State = BTreeMap<String, Entry>;

/// Finished workload: its disk operations and the results of the store.
struct Run {
    first: Vec<u8>,
    journal: Vec<Written>,
    commits: Vec<Acknowledged>,
    compactions: Vec<Acknowledged>,
    /// All states, and the events that led to each.
    states: BTreeMap<Revision, (State, Vec<Event>)>,
    /// Journal range of the disk failure, if any: a cut in it may leave revisions that no reader
    /// has seen.
    failed: std::ops::Range<usize>,
    store_options: Options,
    _dir: tempfile::TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_is_there_after_a_power_failure() {
    cut_everywhere(async |dice| run(dice, None).await).await;
}

/// Linux marks dirty pages as clean after a failed fsync, and a later successful fsync does not
/// write them. The store must never rely on them, even after it has reopened the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_after_failed_sync_survives_power_loss() {
    cut_everywhere(async |dice| {
        let at = dice.below(40) + 4;
        run(dice, Some(at)).await
    })
    .await;
}

async fn cut_everywhere(make: impl AsyncFn(&mut Dice) -> Run) {
    let number =
        |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let now =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let (seed, rounds) = (number("STORE_POWER_SEED"), number("STORE_POWER_ROUNDS").unwrap_or(1));
    for round in 0..rounds {
        let seed = seed.unwrap_or(now + round);
        println!("STORE_POWER_SEED={seed}");
        let mut dice = Dice(seed);
        let run = make(&mut dice).await;
        let points = run.cut(&mut dice).await;
        println!("{} writes, {points} disks", run.journal.len());
        assert!(points > 200, "only {points} disks");
    }
}

/// Runs a workload; the sync with the number `failing` fails.
async fn run(dice: &mut Dice, failing: Option<usize>) -> Run {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::recording());
    // Small cache, so that pages are written before a commit needs it.
    let store_options = Options { cache_bytes: 256 << 10, ..options(&dir) };
    let store = Embedded::open(Options { opener: disk.opener(), ..store_options.clone() }).unwrap();
    let store: Arc<dyn TestStore> = Arc::new(store);
    let start = store.now().await;
    let mut watch = store.watch("/", start);
    let mut run = Run {
        first: Vec::new(),
        journal: Vec::new(),
        commits: vec![Acknowledged { journal: 0, revision: start }],
        compactions: vec![Acknowledged { journal: 0, revision: start }],
        states: BTreeMap::from([(start, (State::new(), Vec::new()))]),
        failed: 0..0,
        store_options,
        _dir: dir,
    };
    if let Some(at) = failing {
        disk.fail(Operation::Sync, at, 1, ErrorKind::Other);
    }
    for step in 0..STEPS {
        let before = disk.journal_length();
        let made = if dice.one_in(8) {
            compact(&store, dice, &mut run, &disk).await
        } else {
            commit(&store, dice, &mut run, &disk, step).await
        };
        run.follow(&mut *watch, &store).await;
        if let Err(error) = made {
            assert!(failing.is_some() && run.failed.is_empty(), "{error}");
            within(store.ready()).await.unwrap();
            // Another commit, so that the journal continues after the failed one.
            let revision = store.make(vec![put("/0", "after the failure")]).await;
            run.follow(&mut *watch, &store).await;
            run.failed = before..disk.journal_length();
            run.commits.push(Acknowledged { journal: disk.journal_length(), revision });
        }
    }
    assert_eq!(failing.is_some(), !run.failed.is_empty());
    (run.first, run.journal) = disk.journal();
    drop(watch);
    run
}

/// Group of concurrent transactions.
async fn commit(
    store: &Arc<dyn TestStore>,
    dice: &mut Dice,
    run: &mut Run,
    disk: &Disk,
    step: usize,
) -> Result<(), StoreError> {
    let present = &run.states.last_key_value().unwrap().1.0;
    let txns: Vec<_> = (0..=dice.below(3)).map(|_| transaction(dice, present, step)).collect();
    for outcome in join_all(txns.into_iter().map(|txn| within(store.commit(txn)))).await {
        if let Outcome::Committed(revision) = outcome? {
            run.commits.push(Acknowledged { journal: disk.journal_length(), revision });
        }
    }
    Ok(())
}

fn transaction(dice: &mut Dice, present: &State, step: usize) -> Txn {
    let first = dice.below(KEYS);
    let charge = match dice.below(3) {
        0 => Charge::Nobody,
        account => Charge::Limited(Account::new(account.to_string())),
    };
    let mut txn = Txn { charge, ..Txn::default() };
    for n in 0..=dice.below(4) {
        let name = format!("/{}", (first + n) % KEYS);
        match present.get(&name) {
            Some(entry) if dice.one_in(3) => {
                txn.guards.push(Guard::Unchanged(entry.key.clone(), entry.revision))
            }
            None if dice.one_in(3) => txn.guards.push(Guard::Absent(key(&name))),
            _ => {}
        }
        let size = [10, 300, 3000, 9000][dice.below(4)] + dice.below(50);
        txn.changes.push(if dice.one_in(4) {
            Change::Delete(key(&name))
        } else {
            Change::Put(key(&name), value(dice, step, size))
        });
    }
    txn
}

/// A value of a step. Half of them are compressed.
fn value(dice: &mut Dice, step: usize, size: usize) -> Bytes {
    if dice.one_in(2) {
        return Bytes::from(vec![u8::try_from(step).unwrap(); size]);
    }
    [&[u8::try_from(step).unwrap()][..], &incompressible(size)].concat().into()
}

async fn compact(
    store: &Arc<dyn TestStore>,
    dice: &mut Dice,
    run: &mut Run,
    disk: &Disk,
) -> Result<(), StoreError> {
    let known: Vec<_> = run.states.keys().rev().take(12).copied().collect();
    let revision = known[dice.below(known.len())].max(run.compactions.last().unwrap().revision);
    within(store.compact(revision)).await?;
    run.compactions.push(Acknowledged { journal: disk.journal_length(), revision });
    Ok(())
}

impl Run {
    /// Records the states from the events.
    async fn follow(&mut self, watch: &mut dyn Watch, store: &Arc<dyn TestStore>) {
        let current = store.now().await;
        while watch.revision() < current {
            let Batch { events, .. } = next(watch).await.unwrap();
            for event in events {
                self.states = std::mem::take(&mut self.states);
                let revision = event.revision();
                if !self.states.contains_key(&revision) {
                    let state = self.states.last_key_value().unwrap().1.0.clone();
                    self.states.insert(revision, (state, Vec::new()));
                }
                let (state, events) = self.states.get_mut(&revision).unwrap();
                match &event {
                    Event::Put { entry, .. } => {
                        drop(state.insert(entry.key.to_string(), entry.clone()))
                    }
                    Event::Delete { key, .. } => drop(state.remove(key.as_str())),
                }
                events.push(event);
            }
        }
    }

    /// Opens the store on disks that lost power after each write; returns the number of disks.
    async fn cut(&self, dice: &mut Dice) -> usize {
        let (mut durable, mut open) = (self.first.clone(), Vec::new());
        let mut points = 0;
        for cut in 0..=self.journal.len() {
            if !self.failed.contains(&cut) {
                let mut disk = durable.clone();
                if dice.one_in(2) {
                    open.iter().for_each(|written: &&Written| written.apply(&mut disk));
                } else {
                    disk = lose(&durable, &open, dice);
                }
                self.check(disk, cut, dice).await;
                points += 1;
            }
            match self.journal.get(cut) {
                Some(Written::Synced) => {
                    open.drain(..).for_each(|written| written.apply(&mut durable))
                }
                Some(Written::NotSynced) => {
                    durable = lose(&durable, &open, dice);
                    open.clear();
                }
                Some(written) => open.push(written),
                None => {}
            }
        }
        points
    }

    /// Opens the store on this disk and compares its content with the required and the permitted
    /// states.
    async fn check(&self, content: Vec<u8>, cut: usize, dice: &mut Dice) {
        let thorough = dice.one_in(THOROUGH);
        let disk = Disk::holding(content);
        let opened =
            Embedded::open(Options { opener: disk.opener(), ..self.store_options.clone() });
        let store: Arc<dyn TestStore> =
            Arc::new(opened.unwrap_or_else(|why| panic!("cut at {cut}: {why}")));
        let current = store.now().await;
        let acknowledged = latest(&self.commits, cut);
        assert!(
            current >= acknowledged,
            "cut at {cut}: {acknowledged} was acknowledged, the store is at {current}"
        );
        assert!(self.states.contains_key(&current), "cut at {cut}: {current} never existed");
        let compacted = compacted(&store).await;
        assert!(compacted >= latest(&self.compactions, cut), "cut at {cut}: a compaction is lost");
        let one_in = if thorough { 1 } else { self.states.len() / STATES };
        self.check_history(&store, compacted..=current, cut, |revision| {
            revision == compacted || revision == current || dice.one_in(one_in)
        })
        .await;
        let made = store.make(vec![put("/after", "the power failure")]).await;
        assert!(made > current, "cut at {cut}: {made} follows {current}");
        drop(store);
        if thorough {
            let mut database =
                Builder::new().create_with_backend(Disk::holding(disk.content())).unwrap();
            assert!(database.check_integrity().unwrap(), "cut at {cut}");
            drop(database);
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(DATA_FILE), disk.content()).unwrap();
            let problems = Folder::new(dir.path()).fsck().unwrap().problems;
            assert_eq!(problems.first, <[String; 0]>::default(), "cut at {cut}");
        }
    }

    async fn check_history(
        &self,
        store: &Arc<dyn TestStore>,
        readable: RangeInclusive<Revision>,
        cut: usize,
        mut reads: impl FnMut(Revision) -> bool,
    ) {
        let compacted = *readable.start();
        let readable = self.states.range(readable);
        for (revision, (state, _)) in readable.clone().filter(|(revision, _)| reads(**revision)) {
            let page = store.list("/", At::Revision(*revision)).await.unwrap();
            assert!(
                page.entries.iter().eq(state.values()),
                "cut at {cut}: the state at {revision} differs"
            );
        }
        let expected: Vec<_> = readable
            .filter(|(revision, _)| **revision > compacted)
            .flat_map(|(_, (_, events))| events.iter().cloned())
            .collect();
        let (mut watch, mut events) = (store.watch("/", compacted), Vec::new());
        while events.len() < expected.len() {
            events.extend(next(&mut *watch).await.unwrap().events);
        }
        assert_eq!(events, expected, "cut at {cut}");
    }
}

/// Latest revision acknowledged before the cut.
fn latest(acknowledged: &[Acknowledged], cut: usize) -> Revision {
    acknowledged.iter().filter(|each| each.journal <= cut).map(|each| each.revision).max().unwrap()
}

async fn compacted(store: &Arc<dyn TestStore>) -> Revision {
    match store.list("/", At::Revision(Revision(0))).await {
        Err(StoreError::Compacted { compacted, .. }) => compacted,
        other => panic!("{other:?}"),
    }
}

/// Disk after a power failure: of the unsynced operations some are applied, some are lost, some are
/// torn.
fn lose(durable: &[u8], open: &[&Written], dice: &mut Dice) -> Vec<u8> {
    let mut disk = durable.to_vec();
    for written in open {
        // Sectors, or blocks of eight sectors, are applied or lost independently.
        match dice.below(4) {
            0 => {}
            1 => written.apply(&mut disk),
            2 => written.apply_torn(&mut disk, |_| dice.one_in(2)),
            _ => {
                let keeps = dice.roll();
                written.apply_torn(&mut disk, |sector| keeps >> (sector / 8 % 64) & 1 == 1);
            }
        }
    }
    disk
}
