//! Backup and restore of the embedded store: a backup has the state of one revision despite
//! concurrent writes, and a restored store uses revisions that no client of the old store has seen.

use std::fs;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use imagestream_apiserver::store::embedded::{
    DATA_FILE, Embedded, Folder, beginning, first_revision,
};
use imagestream_apiserver::store::{
    ArchiveError, ArchiveHead, ArchiveReader, At, Backup, BackupError, Batch, Change, Entry, Key,
    Maintenance, OpenError, RestoreError, RestoreOptions, Restored, Revision, StoreError,
    StoreHealth, Txn, WatchError,
};
use tempfile::TempDir;

use crate::embedded_lab::options;
use crate::harness::{Steps, TestStore, brief, delete, key, next, put, within};

fn open(dir: &TempDir) -> (Arc<Embedded>, Arc<dyn TestStore>) {
    let store = Arc::new(Embedded::open(options(dir)).unwrap());
    (store.clone(), store)
}

fn backup(store: &Embedded) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.backups().write(&mut bytes).unwrap();
    bytes
}

fn restore(mut bytes: &[u8], dir: &Path) -> Result<Restored, RestoreError> {
    let options = RestoreOptions { now: SystemTime::now(), seen: Revision(0) };
    Folder::new(dir).restore(&mut bytes, options)
}

fn restored(bytes: &[u8], dir: &TempDir) -> Restored {
    restore(bytes, dir.path()).unwrap()
}

fn refused(bytes: &[u8], dir: &Path) -> RestoreError {
    restore(bytes, dir).unwrap_err()
}

/// Folder and store with a replaced value, a deleted key, and several changes in one revision.
async fn workload() -> (TempDir, Arc<Embedded>, Arc<dyn TestStore>) {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, store) = open(&dir);
    store.make(vec![put("/a", "1"), put("/b", "1"), put("/c", "1")]).await;
    store.make(vec![put("/b", "2"), put("/long", &"x".repeat(100_000))]).await;
    store.make(vec![delete("/c"), put("/empty", "")]).await;
    (dir, embedded, store)
}

async fn all(store: &Arc<dyn TestStore>) -> Vec<Entry> {
    store.list("", At::Now).await.unwrap().entries
}

#[tokio::test]
async fn a_restored_store_holds_every_entry_with_its_revision() {
    let (_dir, embedded, store) = workload().await;
    let before = all(&store).await;
    let bytes = backup(&embedded);
    let other = tempfile::tempdir().unwrap();
    let Restored { backup, begins } = restored(&bytes, &other);
    assert_eq!((backup.revision, backup.entries), (store.now().await, 4));
    let (_, again) = open(&other);
    assert_eq!(all(&again).await, before);
    assert_eq!(again.now().await, begins);
    assert_eq!(again.make(vec![put("/a", "2")]).await, Revision(begins.0 + 1));
}

#[tokio::test]
async fn whoever_watched_the_old_store_is_told_to_list_again() {
    let (_dir, embedded, store) = workload().await;
    let mut seen = vec![Revision(1), store.now().await];
    let bytes = backup(&embedded);
    // The old store continues to write.
    for round in 0..50 {
        seen.push(store.make(vec![put("/a", &round.to_string())]).await);
    }
    let other = tempfile::tempdir().unwrap();
    restored(&bytes, &other);
    let (_, again) = open(&other);
    for revision in seen {
        match next(&mut *again.watch("/", revision)).await {
            Err(WatchError::Compacted { requested, compacted }) => {
                assert_eq!((requested, compacted), (revision, again.now().await));
            }
            other => panic!("{revision}: {other:?}"),
        }
        assert!(matches!(
            again.list("/", At::Revision(revision)).await,
            Err(StoreError::Compacted { .. })
        ));
    }
    let list = again.list("/", At::Now).await.unwrap();
    assert_eq!(brief(&list)[0], "/a=1");
    let mut watch = again.watch("/", list.revision);
    let made = again.make(vec![put("/a", "2")]).await;
    let Batch { events, revision } = next(&mut *watch).await.unwrap();
    assert_eq!((events.len(), revision), (1, made), "a watch from the list misses no event");
}

#[test]
fn restored_store_starts_above_all_old_revisions() {
    // Clients of the old store may hold any revision that it can have assigned since the backup.
    const SECOND: u64 = 1 << 20;
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let taken = time(1_800_000_000);
    let begins = |revision, now, seen| {
        beginning(ArchiveHead { revision: Revision(revision), taken }, now, Revision(seen))
    };
    let later = time(1_800_086_400);
    let old = first_revision(time(1_700_000_000)).0;
    assert_eq!(
        begins(old, later, 0),
        first_revision(later),
        "the clock is far ahead of an old store"
    );
    assert_eq!(
        begins(old, later, first_revision(later).0 + 5).0,
        first_revision(later).0 + 6,
        "the revisions already seen set the minimum"
    );
    let ahead = first_revision(time(1_900_000_000)).0;
    assert!(
        begins(ahead, later, 0).0 > ahead + 86_400 * SECOND,
        "a clock that was ahead, a million commits a second"
    );
    assert!(
        begins(ahead, time(1_799_000_000), 0).0 > ahead + (1 << 31),
        "a clock that was set back"
    );
    assert!(begins(old, later, 0).0 < 1 << 53 && begins(ahead, later, 0).0 < 1 << 53);
    assert_eq!(begins(u64::MAX, later, u64::MAX), Revision(u64::MAX), "nothing overflows");
}

/// Output that blocks after its first piece until it is released.
struct Gate {
    bytes: Vec<u8>,
    standing: Option<mpsc::Sender<()>>,
    go: mpsc::Receiver<()>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(standing) = self.standing.take() {
            standing.send(()).unwrap();
            self.go.recv().unwrap();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn stalled_backup_blocks_nobody_and_keeps_its_snapshot() {
    let (_dir, embedded, store) = workload().await;
    let (before, revision) = (all(&store).await, store.now().await);
    let ((standing, stands), (go, gate)) = (mpsc::channel(), mpsc::channel());
    let backups = embedded.backups();
    let writing = thread::spawn(move || {
        let mut gate = Gate { bytes: Vec::new(), standing: Some(standing), go: gate };
        backups.write(&mut gate).map(|_| gate.bytes)
    });
    stands.recv_timeout(Duration::from_secs(30)).unwrap();
    for round in 0..20 {
        store.make(vec![put("/a", &round.to_string()), delete("/b"), put("/new", "")]).await;
    }
    within(store.compact(store.now().await)).await.unwrap();
    assert_eq!(store.entry("/a").await.unwrap().value, "19");
    go.send(()).unwrap();
    let bytes = writing.join().unwrap().unwrap();
    let archive = ArchiveReader::begin(&*bytes).unwrap();
    assert_eq!(archive.head().revision, revision);
    assert_eq!(archive.collect::<Result<Vec<_>, _>>().unwrap(), before);
}

const WRITERS: u64 = 6;

/// Commits pairs of keys until it is stopped, and counts the acknowledged ones.
async fn write_pairs(store: Arc<dyn TestStore>, writer: u64, acknowledged: Arc<AtomicU64>) {
    for round in 1_u64.. {
        let value = Bytes::from(round.to_string());
        let pair = ["left", "right"].map(|side| key(&format!("/{side}/{writer}/{round}")));
        let last = ["left", "right"].map(|side| key(&format!("/last/{side}/{writer}")));
        let changes =
            pair.into_iter().chain(last).map(|key| Change::Put(key, value.clone())).collect();
        within(store.commit(Txn { guards: vec![], changes, ..Txn::default() })).await.unwrap();
        acknowledged.store(round, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_under_writes_holds_all_acknowledged_writes() {
    // Each transaction writes a pair of keys, so that a partial one shows as a single key.
    let dir = tempfile::tempdir().unwrap();
    let (embedded, store) = open(&dir);
    let counts: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let writers: Vec<_> = counts
        .iter()
        .zip(0..)
        .map(|(count, writer)| tokio::spawn(write_pairs(store.clone(), writer, count.clone())))
        .collect();
    for round in 1..=5 {
        let enough = async {
            while counts.iter().any(|count| count.load(Ordering::SeqCst) < round * 20) {
                tokio::task::yield_now().await;
            }
        };
        within(enough).await;
        let before: Vec<u64> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let backups = embedded.backups();
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            backups.write(&mut bytes).map(|_| bytes)
        });
        let other = tempfile::tempdir().unwrap();
        restored(&bytes.await.unwrap().unwrap(), &other);
        let (_, again) = open(&other);
        for (writer, acknowledged) in (0..).zip(before) {
            check_pairs(&again, writer, acknowledged).await;
        }
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn check_pairs(store: &Arc<dyn TestStore>, writer: u64, acknowledged: u64) {
    let last = |side| format!("/last/{side}/{writer}");
    let (left, right) =
        (store.entry(&last("left")).await.unwrap(), store.entry(&last("right")).await.unwrap());
    assert_eq!((&left.value, left.revision), (&right.value, right.revision));
    let count: u64 = std::str::from_utf8(&left.value).unwrap().parse().unwrap();
    assert!(count >= acknowledged, "{count} of {acknowledged} acknowledged pairs");
    for side in ["left", "right"] {
        let page = store.list(&format!("/{side}/{writer}/"), At::Now).await.unwrap();
        assert_eq!(page.entries.len() as u64, count, "{side}");
    }
}

#[tokio::test]
async fn a_backup_is_restored_where_no_store_is_and_nowhere_else() {
    let (dir, embedded, store) = workload().await;
    let bytes = backup(&embedded);
    assert!(matches!(refused(&bytes, dir.path()), RestoreError::Folder(OpenError::InUse { .. })));
    drop((embedded, store));
    let content = fs::read(dir.path().join(DATA_FILE)).unwrap();
    let error = refused(&bytes, dir.path());
    assert!(
        matches!(&error, RestoreError::Occupied { .. })
            && error.to_string().contains("another folder"),
        "{error}"
    );
    assert_eq!(fs::read(dir.path().join(DATA_FILE)).unwrap(), content);
    fs::write(dir.path().join(DATA_FILE), "").unwrap();
    assert!(
        matches!(refused(&bytes, dir.path()), RestoreError::Occupied { .. }),
        "nor where one was lost"
    );
}

#[tokio::test]
async fn a_backup_that_is_not_whole_leaves_no_store() {
    let (_dir, embedded, _store) = workload().await;
    let bytes = backup(&embedded);
    let other = tempfile::tempdir().unwrap();
    let is_empty = || {
        let names = fs::read_dir(other.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.into_iter().all(|name| name == "store.lock")
    };
    for length in [0, 5, 30, bytes.len() / 2, bytes.len() - 33, bytes.len() - 1] {
        let error = refused(&bytes[..length], other.path());
        assert!(
            matches!(error, RestoreError::Archive(ArchiveError::CutOff { .. })),
            "{length}: {error}"
        );
        assert!(is_empty());
    }
    for at in (0..bytes.len()).step_by(997).chain(bytes.len() - 50..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(matches!(refused(&flipped, other.path()), RestoreError::Archive(_)), "{at}");
        assert!(is_empty());
    }
    restored(&bytes, &other);
}

/// Flips one bit in every occurrence of a text in the file.
fn flip(path: &Path, text: &str) {
    let mut content = fs::read(path).unwrap();
    let places: Vec<_> = (0..content.len() - text.len())
        .filter(|at| content[*at..].starts_with(text.as_bytes()))
        .collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| content[at] ^= 1);
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn backup_of_damaged_store_is_marked_and_not_restorable() {
    let dir = tempfile::tempdir().unwrap();
    let (embedded, store) = open(&dir);
    store.make(vec![put("/bad", "a value that is flipped"), put("/good", "")]).await;
    drop((embedded, store));
    flip(&dir.path().join(DATA_FILE), "a value that is flipped");
    let (embedded, _store) = open(&dir);
    let mut bytes = Vec::new();
    let summary = embedded.backups().write(&mut bytes).unwrap();
    assert_eq!((summary.entries, summary.missing), (1, 1));
    assert_eq!(embedded.warnings().len(), 1, "a backup counts damage like other reads");
    let other = tempfile::tempdir().unwrap();
    match refused(&bytes, other.path()) {
        RestoreError::Archive(ArchiveError::Gaps { missing }) => {
            assert_eq!((missing.len(), &missing[0].key), (1, &Key::new("/bad")))
        }
        other => panic!("{other}"),
    }
    let mut reader = ArchiveReader::begin(&*bytes).unwrap().skipping_damaged();
    assert_eq!(
        reader.by_ref().map(|entry| entry.unwrap().key).collect::<Vec<_>>(),
        [Key::new("/good")]
    );
    assert_eq!(reader.summary(), Some(summary));
}

#[tokio::test]
async fn backups_do_not_keep_a_store_open_and_end_with_it() {
    let (dir, embedded, store) = workload().await;
    let backups = embedded.backups();
    drop((embedded, store));
    assert!(matches!(backups.write(&mut io::sink()), Err(BackupError::Store(StoreError::Closed))));
    drop(open(&dir));
}

#[tokio::test]
async fn a_backup_of_a_restored_store_is_restored_like_any_other() {
    let (_dir, embedded, _store) = workload().await;
    let mut bytes = backup(&embedded);
    let mut begun = Revision(0);
    for _ in 0..3 {
        let other = tempfile::tempdir().unwrap();
        let Restored { begins, .. } = restored(&bytes, &other);
        assert!(begins > begun);
        begun = begins;
        let (embedded, store) = open(&other);
        store.make(vec![put("/d", "1")]).await;
        bytes = backup(&embedded);
    }
    let count = ArchiveReader::begin(BufReader::new(&*bytes)).unwrap().count();
    assert_eq!(count, 5);
}

#[tokio::test]
async fn what_cannot_be_written_is_an_error_of_the_output() {
    let (_dir, embedded, store) = workload().await;
    let mut small = [0; 1000];
    assert!(matches!(embedded.backups().write(&mut &mut small[..]), Err(BackupError::Output(_))));
    assert!(store.warnings().is_empty());
}
