//! Defragmentation: compresses the values of an earlier format, and returns unused pages of the data
//! file to the file system. redb needs exclusive access to the file for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;

use crate::store::{DefragReport, OpenError, StoreError};

use super::compact::CompactProgress;
use super::data_file::size;
use super::error::{panicked, store_error};
use super::group::Group;
use super::ledger::Ledger;
use super::open::{self, Open};
use super::options::Options;
use super::recent_values::RecentValues;
use super::repack::Repacking;
use super::values::CommittedValues;

/// Defragments the data file of an existing store, see [`crate::store::Maintenance::defrag`].
pub(super) fn defrag(options: &Options) -> Result<DefragReport, OpenError> {
    let path = options.data_file();
    let Open { mut database, lock: _held } = open::open_existing(options)?;
    let before = size(&path)?;
    let work = AssertUnwindSafe(|| {
        repack_all(&database)?;
        while database.compact().map_err(store_error)? {}
        database.close().map_err(store_error)
    });
    let done = catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&*panic)));
    done.map_err(|error| open::unwritable(&path, error))?;
    Ok(DefragReport { before, after: size(&path)? })
}

/// Compresses all values of an earlier format.
fn repack_all(database: &Database) -> Result<(), StoreError> {
    let mut repacking = Repacking::default();
    while repack(database, &mut repacking)? == CompactProgress::More {}
    Ok(())
}

/// Takes one step of compression and commits it.
fn repack(database: &Database, repacking: &mut Repacking) -> Result<CompactProgress, StoreError> {
    let (ledger, recent) = (Ledger::new(None), RecentValues::new());
    let committed = CommittedValues { recent: &recent, read: &|_, _| None };
    let mut txn = database.begin_write().map_err(store_error)?;
    txn.set_quick_repair(true);
    let mut group = Group::open(&txn, &ledger, committed, std::mem::take(repacking))?;
    let progress = group.repack_step()?;
    *repacking = group.finish()?.repacking;
    txn.commit().map_err(store_error)?;
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
    use tempfile::TempDir;

    use super::*;
    use crate::store::embedded::Embedded;
    use crate::store::embedded::fsck::fsck;
    use crate::store::embedded::layout::{
        CHECK, CURRENT, FORMAT_WITHOUT_COMPRESSION, HISTORY, META, META_FORMAT, PACKED, Position,
        VALUES, Version, encode_number, encode_value,
    };
    use crate::store::embedded::packed;
    use crate::store::embedded::read::live;
    use crate::store::{At, Change, Compact, DiskUsage, Key, Range, Revision, Store, Txn};

    const KEYS: usize = 300;
    /// Values of 6 kB, so that their compression takes more than one step.
    const LINES: usize = 150;

    fn value(key: usize, round: usize) -> String {
        let line = |line| format!("line {line} of value {key}, written in round {round}\n");
        (0..LINES).map(line).collect()
    }

    /// A store of values, each replaced once, as format 3 has stored it. Returns the first revision
    /// with all keys.
    async fn earlier_store(dir: &TempDir) -> Revision {
        let options = Options::new(dir.path());
        let store = Embedded::open(options.clone()).unwrap();
        let mut complete = Revision(0);
        for round in 0..2 {
            let put = |key| Change::Put(Key::new(format!("/{key:03}")), value(key, round).into());
            for key in 0..KEYS {
                let txn = Txn { changes: vec![put(key)], ..Txn::default() };
                store.commit(txn).await.unwrap();
            }
            if round == 0 {
                complete = store.current().await.unwrap();
            }
        }
        drop(store);
        uncompress(&options.data_file());
        complete
    }

    /// Turns a file into one of format 3.
    fn uncompress(path: &Path) {
        let database = Database::open(path).unwrap();
        let txn = database.begin_write().unwrap();
        {
            let (packed, mut values) =
                (txn.open_table(PACKED).unwrap(), txn.open_table(VALUES).unwrap());
            let mut put = |key: &[u8], row: &[u8]| {
                let at = live(Version::decode(key, row).unwrap()).unwrap();
                let value = packed.get(&at.encode()).unwrap().unwrap();
                let value = packed::decode(key, at, value.value()).unwrap();
                let mut row = vec![0; CHECK + value.len()];
                encode_value(key, at, &value, &mut row);
                values.insert(&at.encode(), &*row).unwrap();
            };
            for row in txn.open_table(CURRENT).unwrap().iter().unwrap() {
                let (key, row) = row.unwrap();
                put(key.value(), row.value());
            }
            for row in txn.open_table(HISTORY).unwrap().iter().unwrap() {
                let (place, row) = row.unwrap();
                put(&place.value()[..place.value().len() - 9], row.value());
            }
            let format = encode_number(META_FORMAT, FORMAT_WITHOUT_COMPRESSION);
            txn.open_table(META).unwrap().insert(META_FORMAT, &format[..]).unwrap();
        }
        txn.delete_table(PACKED).unwrap();
        txn.commit().unwrap();
    }

    /// Rows of `packed` and of `values`.
    fn rows(dir: &TempDir) -> [u64; 2] {
        let database = Database::open(Options::new(dir.path()).data_file()).unwrap();
        let txn = database.begin_read().unwrap();
        [PACKED, VALUES].map(|table| txn.open_table(table).unwrap().len().unwrap())
    }

    async fn assert_values(store: &Embedded, at: At, round: usize) {
        let page = store.range(Range { at, ..Range::default() }).await.unwrap();
        let found = page.entries.iter().map(|entry| String::from_utf8_lossy(&entry.value));
        assert!(found.eq((0..KEYS).map(|key| value(key, round))));
    }

    fn assert_sound(dir: &TempDir) {
        let report = fsck(&Options::new(dir.path())).unwrap();
        assert!(report.problems.first.is_empty(), "{:?}", report.problems);
    }

    #[tokio::test]
    async fn earlier_values_are_read_and_compressed_by_compaction() {
        let dir = tempfile::tempdir().unwrap();
        let complete = earlier_store(&dir).await;
        assert_sound(&dir);
        let store = Embedded::open(Options::new(dir.path())).unwrap();
        assert_values(&store, At::Now, 1).await;
        assert_values(&store, At::Revision(complete), 0).await;
        let usage = store.disk_usage().unwrap();
        let before = usage.used_bytes().unwrap();
        store.compact(store.current().await.unwrap()).await.unwrap();
        assert_values(&store, At::Now, 1).await;
        assert!(usage.used_bytes().unwrap() * 3 < before);
        drop(store);
        assert_eq!(rows(&dir), [KEYS as u64, 0]);
        assert_sound(&dir);
    }

    #[tokio::test]
    async fn compression_that_was_cut_off_is_finished_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let complete = earlier_store(&dir).await;
        let options = Options::new(dir.path());
        let Open { database, lock } = open::open_existing(&options).unwrap();
        assert_eq!(repack(&database, &mut Repacking::default()).unwrap(), CompactProgress::More);
        drop((database, lock));
        let [moved, left] = rows(&dir);
        assert!(moved > 10 && left > 10 + KEYS as u64 && moved + left == 2 * KEYS as u64);
        assert_sound(&dir);
        let store = Embedded::open(options.clone()).unwrap();
        assert_values(&store, At::Now, 1).await;
        assert_values(&store, At::Revision(complete), 0).await;
        drop(store);
        let report = defrag(&options).unwrap();
        assert!(report.after.length < report.before.length);
        // Replaced values stay as they are until they are compacted.
        assert_eq!(rows(&dir), [KEYS as u64; 2]);
        assert_sound(&dir);
        let store = Embedded::open(options).unwrap();
        assert_values(&store, At::Now, 1).await;
        assert_values(&store, At::Revision(complete), 0).await;
    }

    #[tokio::test]
    async fn damaged_earlier_value_stays_and_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        earlier_store(&dir).await;
        let path = Options::new(dir.path()).data_file();
        let database = Database::open(&path).unwrap();
        let txn = database.begin_write().unwrap();
        {
            let mut values = txn.open_table(VALUES).unwrap();
            let (at, mut row) = {
                let (at, row) = values.last().unwrap().unwrap();
                (Position::decode(at.value()), row.value().to_owned())
            };
            row[100] ^= 1;
            values.insert(&at.encode(), &*row).unwrap();
        }
        txn.commit().unwrap();
        drop(database);
        let store = Embedded::open(Options::new(dir.path())).unwrap();
        store.compact(store.current().await.unwrap()).await.unwrap();
        drop(store);
        assert_eq!(rows(&dir), [KEYS as u64 - 1, 1]);
        let report = fsck(&Options::new(dir.path())).unwrap();
        assert_eq!(report.problems.total, 1, "{:?}", report.problems);
        assert!(report.problems.first[0].contains("/299"), "{:?}", report.problems);
    }
}
