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
    DELTAS, DeltaRow, PACKED, Position, VALUES, decode_value, file_bytes, unverified_value,
    value_checksum,
};
use super::packed;
use super::recent_values::{LARGE_VALUE, RecentValues, is_kept_if_written};

/// The most differences between a value and a whole one. A read looks all of them up.
const MAX_DEPTH: u16 = 128;

/// The values of a snapshot.
pub(super) struct Values {
    /// `None` in a file of an earlier format, as `deltas`.
    packed: Option<ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>>,
    deltas: Option<ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>>,
    earlier: ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    recent: Option<Arc<RecentValues>>,
}

impl Values {
    /// Opens the tables. Values in `recent` are not read from the file.
    pub(super) fn open(
        txn: &ReadTransaction,
        recent: Option<Arc<RecentValues>>,
    ) -> Result<Self, StoreError> {
        let table = |table| match txn.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            opened => opened.map(Some).map_err(store_error),
        };
        let earlier = txn.open_table(VALUES).map_err(store_error)?;
        Ok(Self { packed: table(PACKED)?, deltas: table(DELTAS)?, earlier, recent })
    }

    /// The entry of a key with the value at a position. Verifies the value.
    pub(super) fn entry(&self, key: &Key, at: Position) -> Result<Entry, StoreError> {
        let revision = at.revision;
        let value = self.value(key.as_str().as_bytes(), at)?;
        let value = value.ok_or_else(|| StoreError::Damaged { key: key.clone(), revision })?;
        if let Some(recent) = &self.recent {
            recent.insert_read(at, &value);
        }
        Ok(Entry { key: key.clone(), value, revision })
    }

    /// The verified value at a position; `None` if it is damaged.
    pub(super) fn value(&self, key: &[u8], at: Position) -> Result<Option<Bytes>, StoreError> {
        let known = self.recent.as_ref().and_then(|recent| recent.get(at));
        known.map_or_else(|| self.rows().value(key, at), |it| Ok(Some(it)))
    }

    /// The bytes of a whole value, which may be damaged; `None` if there are none.
    pub(super) fn unverified(&self, at: Position) -> Result<Option<Bytes>, StoreError> {
        let place = at.encode();
        let packed = self.packed.as_ref().map(|packed| packed.get(&place)).transpose();
        if let Some(row) = packed.map_err(store_error)?.flatten() {
            return Ok(packed::unverified(row.value()));
        }
        let row = self.earlier.get(&place).map_err(store_error)?;
        Ok(row.map(|row| Bytes::copy_from_slice(unverified_value(row.value()))))
    }

    /// The bytes of the row of a value.
    pub(super) fn stored_bytes(&self, at: Position) -> Result<u64, StoreError> {
        let place = at.encode();
        let tables = [self.packed.as_ref(), self.deltas.as_ref(), Some(&self.earlier)];
        for table in tables.into_iter().flatten() {
            if let Some(row) = table.get(&place).map_err(store_error)? {
                return Ok(row.value().len() as u64);
            }
        }
        Ok(0)
    }

    /// The number of rows.
    pub(super) fn len(&self) -> Result<u64, StoreError> {
        let mut rows = self.earlier.len().map_err(store_error)?;
        for table in [&self.packed, &self.deltas].into_iter().flatten() {
            rows += table.len().map_err(store_error)?;
        }
        Ok(rows)
    }

    /// The base of a value that is a difference.
    pub(super) fn base(&self, key: &[u8], at: Position) -> Result<Option<Position>, StoreError> {
        let Some(deltas) = &self.deltas else { return Ok(None) };
        base(deltas, key, at)
    }

    fn rows(&self) -> ValueRows<'_, ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>> {
        let Self { packed, deltas, earlier, .. } = self;
        ValueRows { packed: packed.as_ref(), deltas: deltas.as_ref(), earlier }
    }
}

/// The base of a value that is a difference.
fn base(
    deltas: &impl ReadableTable<&'static [u8; Position::BYTES], &'static [u8]>,
    key: &[u8],
    at: Position,
) -> Result<Option<Position>, StoreError> {
    let row = deltas.get(&at.encode()).map_err(store_error)?;
    Ok(row.and_then(|row| DeltaRow::decode(key, at, row.value()).map(|row| row.base)))
}

/// The tables of values.
struct ValueRows<'a, T> {
    packed: Option<&'a T>,
    deltas: Option<&'a T>,
    earlier: &'a T,
}

impl<T: ReadableTable<&'static [u8; Position::BYTES], &'static [u8]>> ValueRows<'_, T> {
    /// Reads a value from the file and verifies it; `None` if it is damaged.
    fn value(&self, key: &[u8], at: Position) -> Result<Option<Bytes>, StoreError> {
        let (mut chain, mut next) = (Vec::new(), at);
        let oldest = loop {
            if let Some(value) = self.packed_value(key, next)? {
                break value;
            }
            let row = self.deltas.map(|deltas| deltas.get(&next.encode())).transpose();
            let Some(row) = row.map_err(store_error)?.flatten() else {
                break self.earlier_value(key, next)?;
            };
            let base = DeltaRow::decode(key, next, row.value()).map(|row| row.base);
            let is_earlier = |base: &Position| *base < next && chain.len() < usize::from(MAX_DEPTH);
            let Some(base) = base.filter(is_earlier) else { return Ok(None) };
            chain.push((next, row));
            next = base;
        };
        let Some(oldest) = oldest else { return Ok(None) };
        let rows = chain.iter().map(|(at, row)| DeltaRow::decode(key, *at, row.value()));
        let Some(rows) = rows.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let Some(last) = rows.first() else { return Ok(Some(oldest)) };
        let deltas = rows.iter().map(|row| Delta::decode(row.hunks)).collect::<Option<Vec<_>>>();
        let value = deltas.and_then(|deltas| delta::apply(&deltas, &oldest));
        let is_right = |value: &Vec<u8>| value_checksum(key, at, value) == last.value_check;
        Ok(value.filter(is_right).map(Bytes::from))
    }

    /// The value of a row of `packed`, and in it `None` if it is damaged.
    fn packed_value(&self, key: &[u8], at: Position) -> Result<Option<Option<Bytes>>, StoreError> {
        let row = self.packed.map(|packed| packed.get(&at.encode())).transpose();
        let row = row.map_err(store_error)?.flatten();
        Ok(row.map(|row| packed::decode(key, at, row.value())))
    }

    /// The value of a row of `values`; `None` if it is damaged.
    fn earlier_value(&self, key: &[u8], at: Position) -> Result<Option<Bytes>, StoreError> {
        let row = self.earlier.get(&at.encode()).map_err(store_error)?;
        let value = row.as_ref().and_then(|row| decode_value(key, at, row.value()));
        Ok(value.map(Bytes::copy_from_slice))
    }
}

/// The values of an open write transaction.
pub(super) struct GroupValues<'t> {
    packed: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    deltas: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    earlier: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    committed: CommittedValues<'t>,
    /// Values that were put and are worth keeping.
    written: HashMap<Position, Bytes>,
}

/// The values that a write transaction finds.
#[derive(Clone, Copy)]
pub(super) struct CommittedValues<'t> {
    /// Values in memory.
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

/// Bytes of a value in the file, before and after it was moved to `packed`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RepackedRow {
    pub(super) before: u64,
    pub(super) after: u64,
}

impl<'t> GroupValues<'t> {
    pub(super) fn open(
        txn: &'t WriteTransaction,
        committed: CommittedValues<'t>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            packed: txn.open_table(PACKED).map_err(store_error)?,
            deltas: txn.open_table(DELTAS).map_err(store_error)?,
            earlier: txn.open_table(VALUES).map_err(store_error)?,
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
            None => {
                let Self { packed, deltas, earlier, .. } = self;
                let rows = ValueRows { packed: Some(packed), deltas: Some(deltas), earlier };
                rows.value(key.as_str().as_bytes(), at)?
            }
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
        }
        if is_kept_if_written(value, old) {
            self.written.insert(at, value.clone());
        }
        if let Some(row) = delta {
            self.deltas.insert(&at.encode(), &*row).map_err(store_error)?;
            return Ok(file_bytes(row.len()));
        }
        let row = packed::encode(key, at, value);
        self.packed.insert(&at.encode(), &*row).map_err(store_error)?;
        Ok(file_bytes(row.len()))
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
            let place = at.encode();
            if let Some(row) = self.packed.remove(&place).map_err(store_error)? {
                removed.add(row.value());
            } else if let Some(row) = self.deltas.remove(&place).map_err(store_error)? {
                removed.add(row.value());
                let base = DeltaRow::decode(key, at, row.value()).map(|row| row.base);
                next = base.filter(|base| *base < at);
            } else if let Some(row) = self.earlier.remove(&place).map_err(store_error)? {
                removed.add(row.value());
            }
        }
        Ok(removed)
    }

    /// Returns true if values are stored as formats before 4 stored them.
    pub(super) fn has_earlier(&self) -> Result<bool, StoreError> {
        Ok(!self.earlier.is_empty().map_err(store_error)?)
    }

    /// Moves the value at a position, or the one that it is a difference from, from `values` to
    /// `packed`. A damaged value stays.
    pub(super) fn repack(
        &mut self,
        key: &[u8],
        mut at: Position,
    ) -> Result<Option<RepackedRow>, StoreError> {
        while let Some(base) = base(&self.deltas, key, at)?.filter(|base| *base < at) {
            at = base;
        }
        let place = at.encode();
        let row = self.earlier.get(&place).map_err(store_error)?;
        let Some((before, row)) = row.and_then(|row| {
            let value = decode_value(key, at, row.value())?;
            Some((row.value().len(), packed::encode(key, at, value)))
        }) else {
            return Ok(None);
        };
        self.earlier.remove(&place).map_err(store_error)?;
        self.packed.insert(&place, &*row).map_err(store_error)?;
        Ok(Some(RepackedRow { before: file_bytes(before), after: file_bytes(row.len()) }))
    }

    /// The values that were put and are worth keeping. They are durable after the commit.
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
