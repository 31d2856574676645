//! Verification of the structure around the values when a store is opened.
//!
//! redb trusts the pages that it reads. A damaged page of an index could hide a key, and a read of
//! it would return the wrong answer that it has no value. So a store is opened only if each row of
//! each index is intact, in order and found by its key. Values are not read: each is verified when
//! it is read, and a lost one is `Damaged`.

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};

use crate::store::StoreError;

use super::error::{damaged_row, store_error};
use super::layout::{CURRENT, HISTORY, LOG, Position, Record, split_history_key};
use super::read::{Snapshot, decode_key, decode_latest, decode_version, version};

/// Verifies the indexes of a snapshot.
///
/// # Errors
/// `Corrupt` for the first wrong row.
pub(super) fn verify(snapshot: &Snapshot) -> Result<(), StoreError> {
    snapshot.compacted()?;
    verify_rows(&snapshot.table(CURRENT)?, "the index", |key, row| {
        decode_key(key)?;
        decode_latest(key, row).map(drop)
    })?;
    verify_rows(&snapshot.table(HISTORY)?, "the history", |place, row| {
        let split = split_history_key(place);
        let (key, _) = split.ok_or_else(|| damaged_row("the history"))?;
        decode_version(key, row).map(drop)
    })?;
    verify_log(&snapshot.table(LOG)?, &snapshot.table(CURRENT)?)
}

fn verify_rows(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    name: &str,
    verify: impl Fn(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut last, mut rows) = (Vec::new(), 0);
    for row in table.iter().map_err(store_error)? {
        let (key, row) = row.map_err(store_error)?;
        let (key, row) = (key.value(), row.value());
        verify(key, row)?;
        let found = table.get(key).map_err(store_error)?;
        if (rows > 0 && *last >= *key) || found.is_none_or(|found| found.value() != row) {
            return Err(out_of_order(name));
        }
        last.clear();
        last.extend_from_slice(key);
        rows += 1;
    }
    verify_number(name, rows, table.len().map_err(store_error)?)
}

/// Verifies the log, and that no key has an older version in the index than in the log: a damaged
/// page number may lead to an old copy of a page.
fn verify_log(
    table: &ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    index: &ReadOnlyTable<&'static [u8], &'static [u8]>,
) -> Result<(), StoreError> {
    const NAME: &str = "the log";
    let (mut last, mut rows) = (None, 0);
    for row in table.iter().map_err(store_error)? {
        let (key, row) = row.map_err(store_error)?;
        let at = Position::decode(key.value());
        let record = Record::decode(at, row.value())
            .ok_or_else(|| damaged_row(format_args!("the log at revision {}", at.revision)))?;
        if version(index, record.key.as_bytes())?.is_none_or(|latest| latest.at < at) {
            let reason = format!("the index has an old version of {}", record.key);
            return Err(StoreError::Corrupt { reason });
        }
        let found = table.get(key.value()).map_err(store_error)?;
        if last.is_some_and(|last| last >= at)
            || found.is_none_or(|found| found.value() != row.value())
        {
            return Err(out_of_order(NAME));
        }
        last = Some(at);
        rows += 1;
    }
    verify_number(NAME, rows, table.len().map_err(store_error)?)
}

fn verify_number(name: &str, rows: u64, said: u64) -> Result<(), StoreError> {
    if rows == said {
        return Ok(());
    }
    Err(StoreError::Corrupt { reason: format!("{name} has {rows} rows and should have {said}") })
}

fn out_of_order(name: &str) -> StoreError {
    StoreError::Corrupt { reason: format!("{name} has rows out of order") }
}
