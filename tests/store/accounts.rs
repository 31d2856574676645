//! Accounts: charges for current and replaced values, their limit, and stores from before accounts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Folder, Options};
use imagestream_apiserver::store::{
    Account, AccountUsage, Accounting, Change, Charge, Compact, DiskUsage, FileStats, Maintenance,
    Outcome, Reserve, Revision, Store, StoreError, Txn,
};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

use crate::embedded_lab::{incompressible, options};
use crate::folder::set_format;
use crate::harness::{delete, key, put, within};

const LIMIT: u64 = 1000;

fn open(dir: &TempDir) -> Embedded {
    Embedded::open(Options { account_limit: Some(LIMIT), ..options(dir) }).unwrap()
}

fn account(name: &str) -> Account {
    Account::new(name)
}

fn usage(store: &Embedded, name: &str) -> (u64, u64) {
    let AccountUsage { current, history } = store.usage(&account(name));
    (current, history)
}

/// Value of this number of bytes under a key of two bytes.
fn sized(at: &str, bytes: usize) -> Change {
    Change::Put(key(at), incompressible(bytes - at.len()))
}

async fn attempt(
    store: &Embedded,
    charge: Charge,
    changes: Vec<Change>,
) -> Result<Revision, StoreError> {
    match within(store.commit(Txn { changes, charge, ..Txn::default() })).await? {
        Outcome::Committed(revision) => Ok(revision),
        Outcome::Refused(_) => unreachable!("nothing is guarded"),
    }
}

async fn write(store: &Embedded, name: &str, changes: Vec<Change>) -> Result<Revision, StoreError> {
    attempt(store, Charge::Limited(account(name)), changes).await
}

async fn compact(store: &Embedded) {
    within(store.compact(store.current().await.unwrap())).await.unwrap();
}

fn assert_sound(dir: &TempDir) {
    let problems = Folder::new(dir.path()).fsck().unwrap().problems;
    assert_eq!(problems.first, <[String; 0]>::default());
}

#[tokio::test]
async fn usage_falls_by_compaction_and_survives_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    write(&store, "a", vec![sized("/1", 100), sized("/2", 50)]).await.unwrap();
    assert_eq!(usage(&store, "a"), (150, 0));
    write(&store, "a", vec![sized("/1", 30)]).await.unwrap();
    write(&store, "a", vec![delete("/2")]).await.unwrap();
    assert_eq!(usage(&store, "a"), (30, 150));
    assert_eq!(usage(&store, "b"), (0, 0));
    drop(store);
    assert_sound(&dir);
    let store = open(&dir);
    assert_eq!(usage(&store, "a"), (30, 150));
    compact(&store).await;
    assert_eq!(usage(&store, "a"), (30, 0));
    write(&store, "a", vec![delete("/1")]).await.unwrap();
    compact(&store).await;
    assert_eq!((usage(&store, "a"), store.largest()), ((0, 0), None));
    drop(store);
    assert_sound(&dir);
}

#[tokio::test]
async fn a_key_belongs_to_its_first_account_until_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    write(&store, "a", vec![sized("/1", 100)]).await.unwrap();
    write(&store, "b", vec![sized("/1", 60)]).await.unwrap();
    assert_eq!((usage(&store, "a"), usage(&store, "b")), ((60, 0), (0, 100)));
    drop(store);
    assert_sound(&dir);
    let store = open(&dir);
    write(&store, "b", vec![sized("/1", 70)]).await.unwrap();
    assert_eq!((usage(&store, "a"), usage(&store, "b")), ((70, 0), (0, 160)));
    attempt(&store, Charge::Nobody, vec![delete("/1")]).await.unwrap();
    assert_eq!((usage(&store, "a"), usage(&store, "b")), ((0, 0), (0, 160)));
    write(&store, "b", vec![sized("/1", 80)]).await.unwrap();
    compact(&store).await;
    assert_eq!((usage(&store, "a"), usage(&store, "b")), ((0, 0), (80, 0)));
    drop(store);
    assert_sound(&dir);
}

#[tokio::test]
async fn beyond_the_limit_values_are_refused_until_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    write(&store, "a", vec![sized("/1", 400)]).await.unwrap();
    write(&store, "a", vec![sized("/1", 600)]).await.unwrap();
    assert_eq!(usage(&store, "a"), (600, 400));
    let before = store.current().await.unwrap();
    match write(&store, "a", vec![sized("/1", 10)]).await {
        Err(StoreError::AccountFull { account: full, usage, needed, limit }) => {
            assert_eq!((full, usage.total(), needed, limit), (account("a"), 1000, 10, LIMIT));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.current().await.unwrap(), before, "nothing was changed");
    write(&store, "b", vec![sized("/2", 1000)]).await.unwrap();
    attempt(&store, Charge::Unlimited(account("a")), vec![sized("/1", 20)]).await.unwrap();
    assert_eq!(usage(&store, "a"), (20, 1000));
    write(&store, "a", vec![delete("/1")]).await.unwrap();
    assert!(write(&store, "a", vec![sized("/3", 10)]).await.is_err());
    compact(&store).await;
    write(&store, "a", vec![sized("/3", 1000)]).await.unwrap();
    drop(store);
    assert_sound(&dir);
}

#[tokio::test]
async fn transactions_of_one_group_share_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let names: Vec<_> = (0..30).map(|n| format!("/{n}")).collect();
    let writes = names.iter().map(|name| write(&store, "a", vec![sized(name, 100)]));
    let written = futures_util::future::join_all(writes).await;
    assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 10);
    assert_eq!(usage(&store, "a"), (1000, 0));
}

#[tokio::test]
async fn rows_from_before_accounts_are_charged_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    attempt(&store, Charge::Nobody, vec![sized("/1", 100), sized("/2", 100)]).await.unwrap();
    attempt(&store, Charge::Nobody, vec![sized("/1", 90)]).await.unwrap();
    drop(store);
    remove_accounts(&dir.path().join(DATA_FILE));
    let store = open(&dir);
    assert_eq!(store.largest(), None);
    write(&store, "a", vec![sized("/1", 80)]).await.unwrap();
    assert_eq!(usage(&store, "a"), (80, 0), "nobody is charged for the replaced value");
    write(&store, "a", vec![delete("/2")]).await.unwrap();
    assert_eq!(usage(&store, "a"), (80, 0));
    write(&store, "b", vec![sized("/1", 70)]).await.unwrap();
    assert_eq!((usage(&store, "a"), usage(&store, "b")), ((70, 0), (0, 80)));
    compact(&store).await;
    assert_eq!((usage(&store, "a"), usage(&store, "b")), ((70, 0), (0, 0)));
    drop(store);
    assert_sound(&dir);
}

/// Turns a data file without charges into one of the format before accounts.
fn remove_accounts(path: &Path) {
    const ACCOUNTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("accounts");
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    set_format(path, 1);
    let database = Database::open(path).unwrap();
    let txn = database.begin_write().unwrap();
    assert!(txn.delete_table(ACCOUNTS).unwrap());
    txn.open_table(META).unwrap().remove("reusable").unwrap().unwrap();
    txn.commit().unwrap();
}

#[tokio::test]
async fn accounts_without_text_are_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for name in [String::new(), "x".repeat(256)] {
        let refused = write(&store, &name, vec![put("/1", "")]).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    write(&store, &"x".repeat(255), vec![put("/1", "")]).await.unwrap();
}

async fn rewrite(store: &Embedded) -> Result<Revision, StoreError> {
    attempt(store, Charge::Nobody, vec![sized("/1", 8000)]).await
}

/// The file does not shrink on a full volume, but compacted values leave room in it.
#[tokio::test]
async fn below_the_reserve_values_take_the_place_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let probe = free.clone();
    let reserve =
        Reserve { bytes: 40_000, free: Arc::new(move |_| Ok(probe.load(Ordering::SeqCst))) };
    let with_reserve = || Options { reserve: Some(reserve.clone()), ..options(&dir) };
    let store = Embedded::open(with_reserve()).unwrap();
    for _ in 0..3 {
        attempt(&store, Charge::Nobody, vec![sized("/1", 8000)]).await.unwrap();
    }
    free.store(39_999, Ordering::SeqCst);
    assert!(matches!(rewrite(&store).await, Err(StoreError::Full { .. })));
    compact(&store).await;
    free.store(19_999, Ordering::SeqCst);
    assert!(matches!(rewrite(&store).await, Err(StoreError::Full { .. })), "half of the reserve");
    free.store(20_000, Ordering::SeqCst);
    drop(store);
    let store = Embedded::open(with_reserve()).unwrap();
    rewrite(&store).await.unwrap();
    assert!(matches!(rewrite(&store).await, Err(StoreError::Full { .. })), "the room is used");
}

/// A tenant rewrites one value on a small volume. When there is little room, all but the latest
/// revisions are compacted, as a server does. No write is refused.
#[tokio::test]
async fn rewrites_on_a_small_volume_keep_its_reserve() {
    const VOLUME: u64 = 96 << 20;
    const RESERVE: u64 = 16 << 20;
    const LITTLE_ROOM: u64 = 16 << 20;
    const KEPT: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATA_FILE);
    let lowest = Arc::new(AtomicU64::new(VOLUME));
    let probed = lowest.clone();
    let free = move |_: &Path| {
        let free = VOLUME.saturating_sub(fs::metadata(&path)?.blocks() * 512);
        probed.fetch_min(free, Ordering::SeqCst);
        Ok(free)
    };
    let reserve = Reserve { bytes: RESERVE, free: Arc::new(free) };
    let store = Embedded::open(Options { reserve: Some(reserve), ..options(&dir) }).unwrap();
    let disk = store.disk_usage().unwrap();
    let (mut compactions, mut random) = (0, fastrand::Rng::with_seed(1));
    for _ in 0..250 {
        let FileStats { available, reusable, .. } = disk.file_stats().unwrap();
        if available.unwrap().saturating_sub(RESERVE) + reusable < LITTLE_ROOM {
            compactions += 1;
            let kept = Revision(store.current().await.unwrap().0 - KEPT);
            within(store.compact(kept)).await.unwrap();
        }
        // Different bytes, because a value that differs little is stored as a difference.
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(300_000).collect();
        let rewrite = Change::Put(key("/1"), bytes.into());
        attempt(&store, Charge::Nobody, vec![rewrite]).await.unwrap();
        attempt(&store, Charge::Nobody, vec![sized("/other", 1000)]).await.unwrap();
    }
    assert!((1..60).contains(&compactions), "{compactions} compactions");
    let lowest = lowest.load(Ordering::SeqCst);
    assert!(lowest >= RESERVE / 2, "{lowest} bytes were free");
}
