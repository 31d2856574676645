//! Large values, which the embedded store keeps as differences from the versions before.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Folder};
use imagestream_apiserver::store::{
    At, Backup, Change, DiskUsage, Event, Maintenance, RestoreOptions, Revision, StoreError, Txn,
};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

use crate::embedded_lab::options;
use crate::folder::set_format;
use crate::harness::{Steps, TestStore, delete, key, next, put, within};

/// Number of records in a value.
const RECORDS: usize = 2000;
/// More versions than one chain of differences has.
const VERSIONS: usize = 300;

/// A version of a large value: records, of which each version replaces one.
fn value(version: usize) -> Bytes {
    let mut writers = [0; RECORDS];
    (0..=version).for_each(|version| writers[version * 7 % RECORDS] = version + 1);
    let record = |(at, writer)| format!("{{\"at\":{at},\"digest\":\"{writer:064x}\"}},");
    writers.iter().enumerate().map(record).collect::<String>().into()
}

fn change(version: usize) -> Change {
    Change::Put(key("/large"), value(version))
}

fn open(dir: &TempDir) -> Arc<dyn TestStore> {
    Arc::new(Embedded::open(options(dir)).unwrap())
}

async fn versions(store: &Arc<dyn TestStore>, count: usize) -> Vec<Revision> {
    let mut revisions = Vec::new();
    for version in 0..count {
        revisions.push(store.make(vec![change(version)]).await);
    }
    revisions
}

async fn read_at(store: &Arc<dyn TestStore>, at: Revision) -> Bytes {
    store.list("/large", At::Revision(at)).await.unwrap().entries.remove(0).value
}

fn assert_sound(dir: &TempDir) {
    let report = Folder::new(dir.path()).fsck().unwrap();
    assert!(report.problems.first.is_empty(), "{:?}", report.problems);
}

#[tokio::test]
async fn each_version_of_a_large_value_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let start = store.now().await;
    let revisions = versions(&store, VERSIONS).await;
    // The values of the first store are in memory, those of the second one in the file.
    drop(store);
    assert_sound(&dir);
    let store = open(&dir);
    for (version, revision) in revisions.iter().enumerate() {
        assert!(read_at(&store, *revision).await == value(version), "version {version}");
    }
    let mut watch = store.watch("/large", start);
    let mut version = 0;
    while version < VERSIONS {
        for event in next(&mut *watch).await.unwrap().events {
            let Event::Put { entry, previous } = event else { panic!("{event:?}") };
            assert!(entry.value == value(version) && entry.revision == revisions[version]);
            let previous = previous.map(|previous| previous.value);
            assert!(previous == version.checked_sub(1).map(value), "before version {version}");
            version += 1;
        }
    }
}

#[tokio::test]
async fn compaction_keeps_what_later_versions_need() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let revisions = versions(&store, VERSIONS).await;
    for kept in [1, 100, 128, 129, 200, VERSIONS - 1] {
        within(store.compact(revisions[kept])).await.unwrap();
        drop(store);
        assert_sound(&dir);
        store = open(&dir);
        for (version, revision) in revisions.iter().enumerate().skip(kept) {
            assert!(read_at(&store, *revision).await == value(version), "{version}");
        }
        let gone = store.list("/", At::Revision(revisions[kept - 1])).await;
        assert!(matches!(gone, Err(StoreError::Compacted { .. })), "{gone:?}");
    }
}

#[tokio::test]
async fn deleted_large_values_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(options(&dir)).unwrap();
    let disk = embedded.disk_usage().unwrap();
    let store: Arc<dyn TestStore> = Arc::new(embedded);
    let empty = disk.used_bytes().unwrap();
    versions(&store, VERSIONS).await;
    assert!(disk.used_bytes().unwrap() > empty + 100_000);
    store.make(vec![delete("/large")]).await;
    within(store.compact(store.now().await)).await.unwrap();
    let left = disk.used_bytes().unwrap() - empty;
    assert!(left < 1000, "{left} bytes");
    drop(store);
    assert_sound(&dir);
}

#[tokio::test]
async fn small_change_of_a_large_value_writes_little() {
    const CHANGES: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(options(&dir)).unwrap();
    let disk = embedded.disk_usage().unwrap();
    let store: Arc<dyn TestStore> = Arc::new(embedded);
    store.make(vec![change(0)]).await;
    let before = disk.used_bytes().unwrap();
    for version in 1..=CHANGES {
        store.make(vec![change(version)]).await;
    }
    let grown = (disk.used_bytes().unwrap() - before) as usize / CHANGES;
    assert!(grown < value(0).len() / 30, "{grown} bytes for a change of {} bytes", value(0).len());
}

#[tokio::test]
async fn versions_of_one_group_build_on_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let commits = (0..50)
        .map(|version| store.commit(Txn { changes: vec![change(version)], ..Txn::default() }));
    let done = within(futures_util::future::join_all(commits)).await;
    assert!(done.iter().all(Result::is_ok));
    drop(store);
    assert_sound(&dir);
    assert!(open(&dir).entry("/large").await.unwrap().value == value(49));
}

#[tokio::test]
async fn value_after_other_sizes_and_deletions_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.make(vec![change(0)]).await;
    store.make(vec![put("/large", "small")]).await;
    store.make(vec![change(1)]).await;
    store.make(vec![delete("/large")]).await;
    store.make(vec![change(2)]).await;
    store.make(vec![change(3), put("/other", "in the same transaction")]).await;
    drop(store);
    assert_sound(&dir);
    assert!(open(&dir).entry("/large").await.unwrap().value == value(3));
}

#[tokio::test]
async fn damage_of_a_base_is_found_and_not_built_upon() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let revisions = versions(&store, 10).await;
    drop(store);
    // A compressed value begins with its first bytes as they are.
    flip(&dir.path().join(DATA_FILE), b"{\"at\":0,");
    let store = open(&dir);
    for (version, revision) in revisions.iter().enumerate() {
        let read = store.list("/large", At::Revision(*revision)).await;
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "version {version}: {read:?}");
    }
    store.make(vec![change(10)]).await;
    drop(store);
    assert!(open(&dir).entry("/large").await.unwrap().value == value(10));
}

#[tokio::test]
async fn backup_of_a_difference_is_the_value() {
    let [dir, restored] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let store = Embedded::open(options(&dir)).unwrap();
    let backups = store.backups();
    let store: Arc<dyn TestStore> = Arc::new(store);
    versions(&store, 5).await;
    let mut archive = Vec::new();
    backups.write(&mut archive).unwrap();
    let options = RestoreOptions { now: SystemTime::now(), seen: Revision(0) };
    Folder::new(restored.path()).restore(&mut &archive[..], options).unwrap();
    assert!(open(&restored).entry("/large").await.unwrap().value == value(4));
}

#[tokio::test]
async fn file_from_before_differences_is_converted() {
    const DELTAS: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("deltas");
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.make(vec![change(0)]).await;
    drop(store);
    let path = dir.path().join(DATA_FILE);
    set_format(&path, 2);
    let database = Database::open(&path).unwrap();
    let txn = database.begin_write().unwrap();
    assert!(txn.delete_table(DELTAS).unwrap());
    txn.commit().unwrap();
    drop(database);
    assert_sound(&dir);
    let store = open(&dir);
    assert!(store.entry("/large").await.unwrap().value == value(0));
    store.make(vec![change(1)]).await;
    drop(store);
    assert_sound(&dir);
    assert!(open(&dir).entry("/large").await.unwrap().value == value(1));
}

/// Flips one bit in the only occurrence of a text in the file.
fn flip(path: &Path, text: &[u8]) {
    let mut content = fs::read(path).unwrap();
    let places: Vec<_> =
        (0..content.len() - text.len()).filter(|at| content[*at..].starts_with(text)).collect();
    let [at] = places[..] else { panic!("the text occurs {} times", places.len()) };
    content[at] ^= 1;
    fs::write(path, content).unwrap();
}
