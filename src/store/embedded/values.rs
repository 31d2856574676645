//! Values of versions: whole, or as the difference from the value that they replaced.
//!
//! A change of a large object is small, and storing it whole would write hundreds of pages. So a
//! large value is stored as a difference if it is small. Its *base* is the version before, which
//! may be a difference too; after some versions, a whole value begins the next chain.
//!
//! ```text
//!   revision      10       11       12       13       14
//!                whole ◀─ delta ◀─ delta    whole ◀─ delta
//! ```
//!
//! Compaction of a version keeps its row as long as the next version is a difference from it.
//! Compaction of the last version of a chain removes the rows of the whole chain.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableError,
    WriteTransaction,
};

use crate::store::{Entry, Key, StoreError};

use super::delta::{self, Delta};
use super::error::store_error;
use super::layout::{
    CHECK, DELTAS, DeltaRow, Position, VALUES, decode_value, encode_value, file_bytes,
    value_checksum,
};
use super::recent_values::{LARGE_VALUE, RecentValues};

/// The most differences between a value and a whole one. A read looks all of them up.
const MAX_DEPTH: u16 = 128;

/// The values of a snapshot.
pub(super) struct Values {
    pub(super) whole: ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    /// `None` in a file of an earlier format.
    pub(super) deltas: Option<ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>>,
    recent: Option<Arc<RecentValues>>,
}

impl Values {
    /// Opens the tables. Values in `recent` are not read from the file.
    pub(super) fn open(
        txn: &ReadTransaction,
        recent: Option<Arc<RecentValues>>,
    ) -> Result<Self, StoreError> {
        let whole = txn.open_table(VALUES).map_err(store_error)?;
        let deltas = match txn.open_table(DELTAS) {
            Err(TableError::TableDoesNotExist(_)) => None,
            opened => Some(opened.map_err(store_error)?),
        };
        Ok(Self { whole, deltas, recent })
    }

    /// The entry of a key with the value at a position. Verifies the value.
    pub(super) fn entry(&self, key: &Key, at: Position) -> Result<Entry, StoreError> {
        let revision = at.revision;
        let value = self.value(key.as_str().as_bytes(), at)?;
        let value = value.ok_or_else(|| StoreError::Damaged { key: key.clone(), revision })?;
        if let Some(recent) = &self.recent {
            recent.insert(at, &value);
        }
        Ok(Entry { key: key.clone(), value, revision })
    }

    /// The verified value at a position; `None` if it is damaged.
    pub(super) fn value(&self, key: &[u8], at: Position) -> Result<Option<Bytes>, StoreError> {
        let known = self.recent.as_ref().and_then(|recent| recent.get(at));
        known.map_or_else(|| read(&self.whole, self.deltas.as_ref(), key, at), |it| Ok(Some(it)))
    }

    /// The number of rows.
    pub(super) fn len(&self) -> Result<u64, StoreError> {
        let deltas = self.deltas.as_ref().map(ReadableTableMetadata::len).transpose();
        Ok(self.whole.len().map_err(store_error)? + deltas.map_err(store_error)?.unwrap_or(0))
    }

    /// The base of a value that is a difference.
    pub(super) fn base(&self, key: &[u8], at: Position) -> Result<Option<Position>, StoreError> {
        let Some(deltas) = &self.deltas else { return Ok(None) };
        let row = deltas.get(&at.encode()).map_err(store_error)?;
        Ok(row.and_then(|row| DeltaRow::decode(key, at, row.value()).map(|row| row.base)))
    }
}

/// Reads a value from the file and verifies it; `None` if it is damaged.
fn read(
    whole: &impl ReadableTable<&'static [u8; Position::BYTES], &'static [u8]>,
    deltas: Option<&impl ReadableTable<&'static [u8; Position::BYTES], &'static [u8]>>,
    key: &[u8],
    at: Position,
) -> Result<Option<Bytes>, StoreError> {
    let (mut chain, mut next) = (Vec::new(), at);
    let oldest = loop {
        if let Some(row) = whole.get(&next.encode()).map_err(store_error)? {
            break row;
        }
        let row = deltas.map(|deltas| deltas.get(&next.encode())).transpose();
        let Some(row) = row.map_err(store_error)?.flatten() else { return Ok(None) };
        let base = DeltaRow::decode(key, next, row.value()).map(|row| row.base);
        let is_earlier = |base: &Position| *base < next && chain.len() < usize::from(MAX_DEPTH);
        let Some(base) = base.filter(is_earlier) else { return Ok(None) };
        chain.push((next, row));
        next = base;
    };
    let Some(oldest) = decode_value(key, next, oldest.value()) else { return Ok(None) };
    let rows = chain.iter().map(|(at, row)| DeltaRow::decode(key, *at, row.value()));
    let Some(rows) = rows.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let Some(last) = rows.first() else { return Ok(Some(Bytes::copy_from_slice(oldest))) };
    let deltas = rows.iter().map(|row| Delta::decode(row.hunks)).collect::<Option<Vec<_>>>();
    let value = deltas.and_then(|deltas| delta::apply(&deltas, oldest));
    let is_right = |value: &Vec<u8>| value_checksum(key, at, value) == last.value_check;
    Ok(value.filter(is_right).map(Bytes::from))
}

/// The values of an open write transaction.
pub(super) struct GroupValues<'t> {
    whole: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    deltas: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    committed: CommittedValues<'t>,
    /// The large values that were put.
    written: HashMap<Position, Bytes>,
}

/// The values that a write transaction finds.
#[derive(Clone, Copy)]
pub(super) struct CommittedValues<'t> {
    /// Large values in memory.
    pub(super) recent: &'t RecentValues,
    /// Reads and verifies the value of a key at a position from the latest snapshot, whatever damage
    /// it meets; `None` without a value.
    pub(super) read: &'t dyn Fn(&[u8], Position) -> Option<Bytes>,
}

/// Rows that were removed, and their bytes in the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RemovedRows {
    pub(super) rows: usize,
    pub(super) bytes: u64,
}

impl<'t> GroupValues<'t> {
    pub(super) fn open(
        txn: &'t WriteTransaction,
        committed: CommittedValues<'t>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            whole: txn.open_table(VALUES).map_err(store_error)?,
            deltas: txn.open_table(DELTAS).map_err(store_error)?,
            committed,
            written: HashMap::new(),
        })
    }

    /// The entry of a key with the value at a position. Verifies the value.
    pub(super) fn entry(&self, key: &Key, at: Position) -> Result<Entry, StoreError> {
        let revision = at.revision;
        let known = self.written.get(&at).cloned().or_else(|| self.committed.recent.get(at));
        let value = match known {
            Some(value) => Some(value),
            None => read(&self.whole, Some(&self.deltas), key.as_str().as_bytes(), at)?,
        };
        let value = value.ok_or_else(|| StoreError::Damaged { key: key.clone(), revision })?;
        Ok(Entry { key: key.clone(), value, revision })
    }

    /// Stores a value, which replaces the one at `old`. Returns its bytes in the file.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        at: Position,
        value: &Bytes,
        old: Option<Position>,
    ) -> Result<u64, StoreError> {
        let mut delta = None;
        if value.len() >= LARGE_VALUE {
            delta = old.map(|old| self.delta(key, at, value, old)).transpose()?.flatten();
            self.written.insert(at, value.clone());
        }
        if let Some(row) = delta {
            self.deltas.insert(&at.encode(), &*row).map_err(store_error)?;
            return Ok(file_bytes(row.len()));
        }
        let length = value.len() + CHECK;
        let mut row = self.whole.insert_reserve(&at.encode(), length).map_err(store_error)?;
        encode_value(key, at, value, row.as_mut());
        Ok(file_bytes(length))
    }

    /// The row of a value as the difference from the one at `old`; `None` if it must be whole.
    fn delta(
        &self,
        key: &[u8],
        at: Position,
        value: &[u8],
        old: Position,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (mut depth, mut chain_bytes) = (1, 0);
        if let Some(row) = self.deltas.get(&old.encode()).map_err(store_error)? {
            let Some(row) = DeltaRow::decode(key, old, row.value()) else { return Ok(None) };
            (depth, chain_bytes) = (row.depth + 1, row.chain_bytes);
        }
        if depth > MAX_DEPTH {
            return Ok(None);
        }
        // A value that cannot be read is no base.
        let before = self.written.get(&old).cloned();
        let before = before.or_else(|| (self.committed.read)(key, old));
        let Some(hunks) = before.and_then(|before| delta::encode(&before, value)) else {
            return Ok(None);
        };
        let chain_bytes =
            chain_bytes.saturating_add(u32::try_from(hunks.len()).unwrap_or(u32::MAX));
        if chain_bytes as usize > value.len() / 2 {
            return Ok(None);
        }
        let value_check = value_checksum(key, at, value);
        let row = DeltaRow { base: old, depth, chain_bytes, value_check, hunks: &hunks };
        Ok(Some(row.encode(key, at)))
    }

    /// Removes a replaced value that nobody can read any more, unless the value at `successor` is a
    /// difference from it. Removes the values that it was the last difference from, too.
    pub(super) fn remove(
        &mut self,
        key: &[u8],
        old: Position,
        successor: Position,
    ) -> Result<RemovedRows, StoreError> {
        let mut removed = RemovedRows::default();
        if self.deltas.get(&successor.encode()).map_err(store_error)?.is_some() {
            return Ok(removed);
        }
        let mut next = Some(old);
        while let Some(at) = next.take() {
            if let Some(row) = self.whole.remove(&at.encode()).map_err(store_error)? {
                removed.add(row.value());
            } else if let Some(row) = self.deltas.remove(&at.encode()).map_err(store_error)? {
                removed.add(row.value());
                let base = DeltaRow::decode(key, at, row.value()).map(|row| row.base);
                next = base.filter(|base| *base < at);
            }
        }
        Ok(removed)
    }

    /// The large values that were put, which are durable after the commit.
    pub(super) fn into_written(self) -> HashMap<Position, Bytes> {
        self.written
    }
}

impl RemovedRows {
    fn add(&mut self, row: &[u8]) {
        self.rows += 1;
        self.bytes += file_bytes(row.len());
    }
}
