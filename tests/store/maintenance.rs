//! Check and shrink of a data folder: their findings, and no other changes.

use std::fs;
use std::sync::Arc;

use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Folder};
use imagestream_apiserver::store::{
    Account, At, Change, Charge, FsckReport, Maintenance, OpenError, Revision, Txn,
};
use proptest::prelude::*;
use redb::{Database, ReadableTable, TableDefinition};
use tempfile::TempDir;

use crate::embedded_lab::{incompressible, options};
use crate::harness::{Steps, TestStore, brief, delete, key, next, put, within};

const CURRENT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("current");
const HISTORY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("history");
const LOG: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("log");
const PACKED: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("packed");

fn open(dir: &TempDir) -> Arc<dyn TestStore> {
    Arc::new(Embedded::open(options(dir)).unwrap())
}

/// Checks a folder and asserts that the check leaves the file unchanged.
fn fsck(dir: &TempDir) -> FsckReport {
    let path = dir.path().join(DATA_FILE);
    let before = fs::read(&path).unwrap();
    let report = folder(dir).fsck().unwrap();
    assert!(fs::read(&path).unwrap() == before, "a check changes nothing");
    report
}

fn problems(dir: &TempDir) -> Vec<String> {
    let found = fsck(dir).problems;
    assert_eq!(found.first.len() as u64, found.total.min(20));
    found.first
}

fn folder(dir: &TempDir) -> Folder {
    Folder::new(dir.path())
}

/// Store with a replaced value, a deleted key and a recreated key, compacted in between.
async fn workload() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.make(vec![put("/a", "1"), put("/b", "1"), put("/c", "a value that is flipped")]).await;
    store.make(vec![put("/b", "2"), delete("/a")]).await;
    let middle = store.make(vec![put("/a", "2")]).await;
    within(store.compact(middle)).await.unwrap();
    store.make(vec![delete("/b")]).await;
    store.make(vec![put("/a", "3"), put("/d", "1")]).await;
    dir
}

#[tokio::test]
async fn a_sound_store_has_no_faults_and_is_told_in_numbers() {
    let dir = workload().await;
    let FsckReport { revision, compacted, keys, values, changes, bytes, space, problems } =
        fsck(&dir);
    assert_eq!(problems.first, <[String; 0]>::default());
    assert_eq!(
        (keys, values, changes),
        (3, 5, 3),
        "two of the values were replaced, one of them by a deletion"
    );
    assert_eq!((bytes, revision.0 - compacted.0), (27, 2));
    // Each value is stored behind a checksum and its form.
    let stored = (space.latest[""], space.replaced[""]);
    assert_eq!((stored.0 + stored.1, stored.1), (bytes + 9 * values, 2 * (9 + 1)));
    let length = fs::metadata(dir.path().join(DATA_FILE)).unwrap().len();
    assert_eq!(stored.0 + stored.1 + space.index + space.overhead + space.free, length);
}

#[tokio::test]
async fn a_compaction_that_was_cut_off_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for round in 0..10 {
        store.make((0..100).map(|n| put(&format!("/{n}"), &round.to_string())).collect()).await;
        store.make((0..100).step_by(3).map(|n| delete(&format!("/{n}"))).collect()).await;
    }
    let now = store.now().await;
    let compaction = store.compact(now);
    assert!(
        futures_util::FutureExt::now_or_never(compaction).is_none(),
        "the future is dropped while the compaction is queued"
    );
    drop(store);
    assert_eq!(problems(&dir), <[String; 0]>::default());
}

/// Copies the file while the store is open, as after a kill of the process.
#[tokio::test]
async fn a_store_that_was_not_closed_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for round in 0..20 {
        store.make(vec![put("/a", &round.to_string()), put(&format!("/{round}"), "")]).await;
    }
    let killed = tempfile::tempdir().unwrap();
    fs::copy(dir.path().join(DATA_FILE), killed.path().join(DATA_FILE)).unwrap();
    let found = fsck(&killed);
    assert_eq!((found.problems.first, found.keys), (vec![], 21));
}

#[tokio::test]
async fn damage_is_told_by_the_name_of_what_is_damaged() {
    let dir = workload().await;
    let path = dir.path().join(DATA_FILE);
    let mut content = fs::read(&path).unwrap();
    let text = b"a value that is flipped";
    // Copied pages contain it too.
    let places: Vec<_> =
        (0..content.len() - text.len()).filter(|at| content[*at..].starts_with(text)).collect();
    places.into_iter().for_each(|at| content[at] ^= 1);
    fs::write(&path, content).unwrap();
    let told = problems(&dir);
    assert!(
        told.iter().any(|fault| fault.starts_with("the value of /c written by revision ")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|fault| fault.starts_with("pages of the file are not what was written")),
        "{told:?}"
    );
}

#[tokio::test]
async fn every_flipped_bit_in_use_is_detected() {
    // Pages have a checksum of redb, and rows have one of the store.
    let dir = workload().await;
    let path = dir.path().join(DATA_FILE);
    let content = fs::read(&path).unwrap();
    let sound = fsck(&dir);
    let (mut found, mut harmless) = (0, 0);
    for round in 0..150_usize {
        let mut damaged = content.clone();
        let at = (round * 7_919 * 31 + 4096) % damaged.len();
        damaged[at] ^= 1 << (round % 8);
        fs::write(&path, damaged).unwrap();
        match folder(&dir).fsck() {
            Ok(report) if report.problems.total == 0 => {
                // An unused page, or the older of the two headers.
                assert_eq!(report, sound, "bit at {at}");
                harmless += 1;
            }
            _ => found += 1,
        }
    }
    assert!(found > 10, "{found} found, {harmless} harmless");
}

/// Changes tables below the store, with valid redb checksums.
fn tamper(dir: &TempDir, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(dir.path().join(DATA_FILE)).unwrap();
    let txn = database.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

#[tokio::test]
async fn tables_that_do_not_agree_are_told() {
    type Tampering = fn(&redb::WriteTransaction);
    let cases: [(&str, Tampering); 8] = [
        ("/c is gone: values are stored", |txn| {
            drop(txn.open_table(CURRENT).unwrap().remove(&b"/c"[..]).unwrap())
        }),
        ("the value of /d", |txn| {
            assert!(txn.open_table(PACKED).unwrap().pop_last().unwrap().is_some())
        }),
        ("the log has no record", |txn| {
            assert!(txn.open_table(LOG).unwrap().pop_last().unwrap().is_some())
        }),
        ("that revision", |txn| {
            assert!(txn.open_table(HISTORY).unwrap().pop_first().unwrap().is_some())
        }),
        ("the log at revision", |txn| {
            let mut log = txn.open_table(LOG).unwrap();
            let at = *log.last().unwrap().unwrap().0.value();
            log.insert(&at, &[0; 30][..]).unwrap();
        }),
        ("the index of /c", |txn| {
            txn.open_table(CURRENT).unwrap().insert(&b"/c"[..], &[0; 21][..]).unwrap();
        }),
        ("the history has an entry", |txn| {
            txn.open_table(HISTORY).unwrap().insert(&b"short"[..], &[0; 21][..]).unwrap();
        }),
        ("values are stored", |txn| {
            drop(txn.open_table(PACKED).unwrap().insert(&[9; 12], &[0; 9][..]).unwrap())
        }),
    ];
    for (told, change) in cases {
        let dir = workload().await;
        tamper(&dir, change);
        let found = problems(&dir);
        let wanted = told.rsplit(": ").next().unwrap();
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{told}: {found:?}");
    }
}

#[tokio::test]
async fn folder_in_use_or_without_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let nowhere = || Folder::new(&missing);
    assert!(matches!(nowhere().fsck(), Err(OpenError::Missing { .. })));
    assert!(matches!(nowhere().defrag(), Err(OpenError::Missing { .. })));
    let error = nowhere().open_read_only().err().unwrap();
    assert!(
        matches!(&error, OpenError::Missing { .. }) && error.to_string().contains("missing"),
        "{error}"
    );
    assert!(!missing.exists());
    let _store = open(&dir);
    assert!(matches!(folder(&dir).fsck(), Err(OpenError::InUse { .. })));
    assert!(matches!(folder(&dir).defrag(), Err(OpenError::InUse { .. })));
}

#[tokio::test]
async fn what_is_written_while_looking_is_forgotten() {
    let dir = workload().await;
    let before = fs::read(dir.path().join(DATA_FILE)).unwrap();
    let store: Arc<dyn TestStore> = Arc::new(Embedded::open_read_only(options(&dir)).unwrap());
    store.make(vec![put("/a", &"4".repeat(100_000))]).await;
    assert_eq!(store.entry("/a").await.unwrap().value.len(), 100_000);
    drop(store);
    assert!(fs::read(dir.path().join(DATA_FILE)).unwrap() == before);
    assert_eq!(open(&dir).entry("/a").await.unwrap().value, "3");
}

#[tokio::test]
async fn compacted_file_is_smaller_with_the_same_history() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let start = store.now().await;
    for n in 0..200 {
        store.make(vec![Change::Put(key(&format!("/{n}")), incompressible(20_000))]).await;
    }
    let kept = store.make((1..200).map(|n| delete(&format!("/{n}"))).collect()).await;
    within(store.compact(kept)).await.unwrap();
    let last = store.make(vec![put("/0", "last")]).await;
    drop(store);
    let report = folder(&dir).defrag().unwrap();
    assert!(report.after.length < report.before.length / 2, "{report:?}");
    assert_eq!(report.after.length, fs::metadata(dir.path().join(DATA_FILE)).unwrap().len());
    assert_eq!(problems(&dir), <[String; 0]>::default());
    let store = open(&dir);
    assert_eq!(brief(&store.list("/", At::Now).await.unwrap()), ["/0=last"]);
    let batch = next(&mut *store.watch("/", kept)).await.unwrap();
    assert_eq!(
        (batch.events.len(), batch.revision),
        (1, last),
        "a watch continues at its revision"
    );
    assert!(next(&mut *store.watch("/", start)).await.is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>, Charge),
    Compact(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let name = (0..6_u8).prop_map(|n| key(&format!("/{n}")));
    let change =
        (name, proptest::option::of(0..3000_usize)).prop_map(|(key, length)| match length {
            Some(length) if length % 2 == 0 => Change::Put(key, incompressible(length)),
            Some(length) => Change::Put(key, vec![7; length].into()),
            None => Change::Delete(key),
        });
    let changes = proptest::collection::vec(change, 1..4).prop_map(|mut changes| {
        changes.sort_by(|a, b| a.key().cmp(b.key()));
        changes.dedup_by(|a, b| a.key() == b.key());
        changes
    });
    let charge = prop_oneof![
        Just(Charge::Nobody),
        "[ab]".prop_map(|name| Charge::Limited(Account::new(name))),
    ];
    let commit = (changes, charge).prop_map(|(changes, charge)| Step::Commit(changes, charge));
    prop_oneof![6 => commit, 1 => (0..5_u64).prop_map(Step::Compact)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_was_done_to_a_store_it_agrees_with_itself(steps in proptest::collection::vec(step(), 0..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let store = open(&dir);
            for step in steps {
                match step {
                    Step::Commit(changes, charge) => drop(within(store.commit(Txn { changes, charge, ..Txn::default() })).await.unwrap()),
                    Step::Compact(back) => {
                        let now = store.now().await;
                        within(store.compact(Revision(now.0 - back))).await.unwrap();
                    }
                }
            }
        });
        prop_assert_eq!(problems(&dir), <[String; 0]>::default());
    }
}
