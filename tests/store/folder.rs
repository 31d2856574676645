//! Data folder of the embedded store: permissions, locks, accepted and refused content.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Options, first_revision};
use imagestream_apiserver::store::{At, OpenError, Reserve, Revision, StoreError, Txn, WatchError};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::embedded_lab::options;
use crate::harness::{Steps, TestStore, brief, delete, next, put, within};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn open(options: Options) -> Arc<dyn TestStore> {
    Arc::new(Embedded::open(options).unwrap())
}

fn refuse(options: Options) -> OpenError {
    Embedded::open(options).err().expect("the folder is refused")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn data_and_lock_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [DATA_FILE, "store.lock"].map(|name| dir.path().join(name));
    drop(open(options(&dir)));
    assert_eq!(paths.each_ref().map(|path| mode(path)), [0o600; 2], "new");
    for path in &paths {
        fs::set_permissions(path, Permissions::from_mode(0o664)).unwrap();
    }
    drop(open(options(&dir)));
    assert_eq!(paths.each_ref().map(|path| mode(path)), [0o600; 2], "of an earlier version");
}

#[test]
fn links_in_the_place_of_files_to_be_made_are_not_followed() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
    symlink(&victim, dir.path().join("store.redb.new")).unwrap();
    drop(open(options(&dir)));
    let lock = dir.path().join("store.lock");
    fs::remove_file(&lock).unwrap();
    symlink(&victim, &lock).unwrap();
    let error = refuse(options(&dir));
    assert!(matches!(&error, OpenError::NotWritable { path, .. } if *path == lock), "{error}");
    assert_eq!((fs::read(&victim).unwrap().as_slice(), mode(&victim)), (&b"precious"[..], 0o644));
}

#[test]
fn an_empty_file_is_refused_and_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATA_FILE);
    fs::write(&path, "").unwrap();
    let error = refuse(options(&dir));
    assert!(matches!(&error, OpenError::Empty { path: p } if *p == path), "{error}");
    assert!(
        error.to_string().contains(path.to_str().unwrap()) && error.to_string().contains("backup")
    );
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_foreign_file_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATA_FILE);
    for content in [&b"x"[..], b"SQLite format 3\0 and more", &[0; 100_000]] {
        fs::write(&path, content).unwrap();
        let error = refuse(options(&dir));
        assert!(matches!(&error, OpenError::Foreign { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_redb_file_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::create(dir.path().join(DATA_FILE)).unwrap());
    assert!(matches!(refuse(options(&dir)), OpenError::Foreign { .. }));
}

#[test]
fn a_truncated_file_is_refused_as_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(options(&dir)));
    let path = dir.path().join(DATA_FILE);
    for length in [9, 100, 4096, 20_000] {
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..length]).unwrap();
        let error = refuse(options(&dir));
        assert!(matches!(&error, OpenError::Corrupt { .. }), "{length}: {error}");
        fs::write(&path, content).unwrap();
    }
    drop(open(options(&dir)));
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(options(&dir)));
    set_format(&dir.path().join(DATA_FILE), 6);
    let refused = refuse(options(&dir));
    match &refused {
        OpenError::Newer { found, supported, .. } => assert_eq!((*found, *supported), (6, 5)),
        other => panic!("{other}"),
    }
    let text = refused.to_string();
    let version = concat!("version ", env!("CARGO_PKG_VERSION"));
    for part in
        ["has format 6", version, "formats up to 5", "the version that wrote it", "store restore"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The refusal has changed nothing: the version that wrote the file opens it.
    set_format(&dir.path().join(DATA_FILE), 5);
    drop(open(options(&dir)));
}

/// Writes a row of `meta` in the documented layout: checksum, number.
pub(crate) fn set_format(path: &Path, format: u64) {
    use xxhash_rust::xxh3::xxh3_64_with_seed;
    let database = Database::open(path).unwrap();
    let number = format.to_be_bytes();
    let check = xxh3_64_with_seed(&number, xxh3_64_with_seed(b"format", 0));
    let txn = database.begin_write().unwrap();
    txn.open_table(META)
        .unwrap()
        .insert("format", &[check.to_be_bytes(), number].concat()[..])
        .unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_damaged_format_row_is_refused_as_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(options(&dir)));
    let database = Database::open(dir.path().join(DATA_FILE)).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("format", &[1; 16][..]).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert!(matches!(refuse(options(&dir)), OpenError::Corrupt { .. }));
}

#[test]
fn a_folder_that_cannot_be_made_is_not_writable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refuse(Options::new(&path));
        assert!(matches!(&error, OpenError::NotWritable { path: p, .. } if *p == path), "{error}");
    }
}

#[test]
fn a_data_file_that_cannot_be_read_is_not_readable() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(DATA_FILE)).unwrap();
    assert!(matches!(refuse(options(&dir)), OpenError::NotReadable { .. }));
}

#[test]
fn a_second_opener_is_told_that_the_folder_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(options(&dir));
    let error =
        refuse(Options { lock_timeout: Duration::from_millis(60), ..Options::new(dir.path()) });
    assert!(matches!(&error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("--data-dir-lock-timeout"));
}

#[test]
fn a_second_opener_gets_the_folder_when_the_first_closes() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(options(&dir));
    let path = dir.path().to_owned();
    let second = std::thread::spawn(move || Embedded::open(Options::new(path)).is_ok());
    drop(first);
    assert!(second.join().unwrap());
}

#[test]
fn a_data_file_that_only_redb_has_locked_is_waited_for_as_well() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(options(&dir)));
    let _other = Database::open(dir.path().join(DATA_FILE)).unwrap();
    assert!(matches!(refuse(options(&dir)), OpenError::InUse { .. }));
}

#[test]
fn what_a_crash_left_of_a_new_store_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("store.redb.new"), "half a store").unwrap();
    drop(open(options(&dir)));
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["store.lock", DATA_FILE]);
}

#[test]
fn the_first_revision_counts_the_seconds_since_2020() {
    let at = |seconds| first_revision(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(1_577_836_800 + 3), Revision(3 << 20));
    assert_eq!(at(1_577_836_800), Revision(1 << 20));
    assert_eq!(at(0), Revision(1 << 20));
    assert_eq!(first_revision(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), Revision(1 << 20));
    assert!(
        at(1_900_000_000).0 < 1 << 53,
        "JavaScript clients read revisions as floating point numbers"
    );
}

#[tokio::test]
async fn new_store_starts_compacted_at_its_first_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Options { first_revision: Revision(5 << 20), ..options(&dir) });
    assert_eq!(store.now().await, Revision(5 << 20));
    let below = Revision((5 << 20) - 1);
    assert!(matches!(next(&mut *store.watch("/", below)).await, Err(WatchError::Compacted { .. })));
    assert!(matches!(
        store.list("/", At::Revision(below)).await,
        Err(StoreError::Compacted { .. })
    ));
    assert_eq!(store.make(vec![put("/a", "1")]).await, Revision((5 << 20) + 1));
    drop(store);
    let store = open(Options { first_revision: Revision(9 << 20), ..options(&dir) });
    assert_eq!(
        store.now().await,
        Revision((5 << 20) + 1),
        "an existing store continues its revisions"
    );
}

#[tokio::test]
async fn recreated_folder_starts_above_lost_revisions() {
    // A watch from a lost revision must fail as compacted instead of waiting for that revision.
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let store = open(Options { first_revision: first_revision(now), ..options(&dir) });
    let mut lost = store.now().await;
    for round in 0..100 {
        lost = store.make(vec![put("/a", &round.to_string())]).await;
    }
    drop(store);
    fs::remove_file(dir.path().join(DATA_FILE)).unwrap();
    let later = now + Duration::from_secs(1);
    let store = open(Options { first_revision: first_revision(later), ..options(&dir) });
    assert!(store.now().await > lost);
    assert!(matches!(next(&mut *store.watch("/", lost)).await, Err(WatchError::Compacted { .. })));
}

#[tokio::test]
async fn a_store_can_be_reopened_at_once_while_a_watch_is_still_about() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let store = open(options(&dir));
        store.make(vec![put(&format!("/{round}"), "")]).await;
        let mut watch = store.watch("/", Revision(1));
        drop(store);
        let again = open(options(&dir));
        assert_eq!(again.list("/", At::Now).await.unwrap().entries.len(), round + 1);
        assert!(next(&mut *watch).await.is_err());
    }
}

#[tokio::test]
async fn without_room_values_are_refused_and_deletions_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let probe = free.clone();
    let reserve =
        Reserve { bytes: 1000, free: Arc::new(move |_| Ok(probe.load(Ordering::SeqCst))) };
    let store = open(Options { reserve: Some(reserve), ..options(&dir) });
    store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    let attempt = |change| {
        within(store.commit(Txn { guards: vec![], changes: vec![change], ..Txn::default() }))
    };
    free.store(999, Ordering::SeqCst);
    assert!(matches!(attempt(put("/a", "2")).await, Err(StoreError::Full { .. })));
    attempt(delete("/a")).await.unwrap();
    let now = store.now().await;
    within(store.compact(now)).await.unwrap();
    free.store(249, Ordering::SeqCst);
    assert!(matches!(attempt(delete("/b")).await, Err(StoreError::Full { .. })));
    assert!(matches!(within(store.compact(now)).await, Err(StoreError::Full { .. })));
    assert_eq!(brief(&store.list("/", At::Now).await.unwrap()), ["/b=1"]);
    free.store(1000, Ordering::SeqCst);
    attempt(put("/a", "2")).await.unwrap();
}

#[tokio::test]
async fn compaction_leaves_nothing_behind_but_the_present() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    for round in 0..7 {
        store.make((0..100).map(|n| put(&format!("/{n}"), &round.to_string())).collect()).await;
        store.make((0..60).map(|n| delete(&format!("/{n}"))).collect()).await;
    }
    within(store.compact(store.now().await)).await.unwrap();
    drop(store);
    assert_eq!(
        rows(&dir.path().join(DATA_FILE)),
        [("current", 40), ("history", 0), ("log", 0), ("packed", 40)]
    );
}

#[tokio::test]
async fn a_compaction_that_was_cut_off_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    for round in 0..20 {
        store.make((0..100).map(|n| put(&format!("/{n}"), &round.to_string())).collect()).await;
    }
    let now = store.now().await;
    let compaction = store.compact(now);
    assert!(
        futures_util::FutureExt::now_or_never(compaction).is_none(),
        "the future is dropped while the compaction is queued"
    );
    within(store.compact(now)).await.unwrap();
    drop(store);
    assert_eq!(
        rows(&dir.path().join(DATA_FILE)),
        [("current", 100), ("history", 0), ("log", 0), ("packed", 100)]
    );
}

/// Row counts of the tables.
fn rows(path: &Path) -> [(&'static str, u64); 4] {
    use redb::{ReadableTableMetadata, TableHandle};
    let database = Database::open(path).unwrap();
    let txn = database.begin_read().unwrap();
    let count = |name: &str| {
        let table = txn.list_tables().unwrap().find(|table| table.name() == name).unwrap();
        txn.open_untyped_table(table).unwrap().len().unwrap()
    };
    ["current", "history", "log", "packed"].map(|name| (name, count(name)))
}
