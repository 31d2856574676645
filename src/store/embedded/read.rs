//! Reads of one snapshot: the entry of a key, the entries under a prefix. Callers choose the
//! thread.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition};

use crate::store::{At, Key, Lookup, Outline, Page, Range, Revision, StoreError};

use super::error::{damaged_row, store_error};
use super::layout::{
    self, CURRENT, HISTORY, Kind, Latest, META, META_COMPACTED, META_CURRENT, META_REUSABLE,
    Position, Version, history_key,
};
use super::recent_values::RecentValues;
use super::values::Values;

/// The state after one commit, with the tables that every read needs.
pub(super) struct Snapshot {
    txn: ReadTransaction,
    revision: Revision,
    versions: ReadOnlyTable<&'static [u8], &'static [u8]>,
    values: Values,
}

impl Snapshot {
    /// A snapshot that reads everything from the file.
    pub(super) fn new(txn: ReadTransaction) -> Result<Self, StoreError> {
        Self::open(txn, None)
    }

    /// A snapshot that shares large values with others of the same file.
    pub(super) fn sharing(
        txn: ReadTransaction,
        recent: Arc<RecentValues>,
    ) -> Result<Self, StoreError> {
        Self::open(txn, Some(recent))
    }

    fn open(txn: ReadTransaction, recent: Option<Arc<RecentValues>>) -> Result<Self, StoreError> {
        let versions = txn.open_table(CURRENT).map_err(store_error)?;
        let values = Values::open(&txn, recent)?;
        let revision =
            number(&txn.open_table(META).map_err(store_error)?, META_CURRENT).map(Revision)?;
        Ok(Self { txn, revision, versions, values })
    }

    /// The revision of the commit.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The values.
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// See [`crate::store::Store::get`]. `Unchanged` and `Missing` come from the index alone.
    pub(super) fn get(&self, key: &Key, known: Option<Revision>) -> Result<Lookup, StoreError> {
        match version(&self.versions, key.as_str().as_bytes())?.and_then(live) {
            None => Ok(Lookup::Missing),
            Some(at) if Some(at.revision) == known => Ok(Lookup::Unchanged),
            Some(at) => Ok(Lookup::Found(self.values.entry(key, at)?)),
        }
    }

    /// See [`crate::store::Store::range`].
    pub(super) fn range(&self, range: &Range) -> Result<Page, StoreError> {
        let revision = self.resolve(range.at)?;
        let (limit, room) = (bound(range.limit), bound(range.bytes));
        let mut page = Page { entries: Vec::new(), revision, more: false };
        let mut bytes = 0;
        self.walk(range, revision, |key, at| {
            if page.entries.len() == limit || bytes >= room {
                page.more = true;
                return Ok(ControlFlow::Break(()));
            }
            let entry = self.values.entry(&decode_key(key)?, at)?;
            bytes += entry.value.len();
            page.entries.push(entry);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }

    /// See [`crate::store::Store::outline`].
    pub(super) fn outline(&self, range: &Range) -> Result<Outline, StoreError> {
        let revision = self.resolve(range.at)?;
        let limit = u64::try_from(bound(range.limit)).unwrap_or(u64::MAX);
        let (mut last, mut remaining, mut entries) = (Vec::new(), 0, 0);
        self.walk(range, revision, |key, _| {
            if entries < limit {
                entries += 1;
                last.clear();
                last.extend_from_slice(key);
            } else {
                remaining += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let last = (entries > 0).then(|| decode_key(&last)).transpose()?;
        Ok(Outline { revision, entries, last, remaining })
    }

    /// The revision of the latest commit.
    pub(super) fn current(&self) -> Result<Revision, StoreError> {
        number(&self.table(META)?, META_CURRENT).map(Revision)
    }

    /// The oldest revision that can be read.
    pub(super) fn compacted(&self) -> Result<Revision, StoreError> {
        number(&self.table(META)?, META_COMPACTED).map(Revision)
    }

    /// Bytes of the file that compaction has freed and no value has taken since.
    pub(super) fn reusable(&self) -> Result<u64, StoreError> {
        number(&self.table(META)?, META_REUSABLE)
    }

    /// Opens a table of this snapshot.
    pub(super) fn table<K: redb::Key, V: redb::Value>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        self.txn.open_table(table).map_err(store_error)
    }

    fn resolve(&self, at: At) -> Result<Revision, StoreError> {
        let current = self.current()?;
        let At::Revision(requested) = at else { return Ok(current) };
        let compacted = self.compacted()?;
        if requested > current {
            Err(StoreError::Future { requested, current })
        } else if requested < compacted {
            Err(StoreError::Compacted { requested, compacted })
        } else {
            Ok(requested)
        }
    }

    /// Visits the keys that have a value at a revision, in order, until `visit` breaks. Only keys
    /// that changed later need a second look-up.
    fn walk(
        &self,
        range: &Range,
        revision: Revision,
        mut visit: impl FnMut(&[u8], Position) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let prefix = range.prefix.as_bytes();
        let start = range.start.as_deref().map_or(prefix, |start| prefix.max(start.as_bytes()));
        let history = self.table(HISTORY)?;
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(start), Bound::Unbounded);
        for row in self.versions.range::<&[u8]>(bounds).map_err(store_error)? {
            let (key, row) = row.map_err(store_error)?;
            let key = key.value();
            if !key.starts_with(prefix) {
                break;
            }
            let latest = decode_version(key, row.value())?;
            let seen = if latest.at.revision <= revision {
                Some(latest)
            } else {
                before(&history, key, revision)?
            };
            if let Some(at) = seen.and_then(live)
                && visit(key, at)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

/// A limit; 0 means none.
fn bound(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// The latest version of a key.
pub(super) fn version(
    current: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Version>, StoreError> {
    let row = current.get(key).map_err(store_error)?;
    row.map(|row| decode_version(key, row.value())).transpose()
}

/// The latest version of a key, with its charge.
pub(super) fn latest(
    current: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Latest>, StoreError> {
    let row = current.get(key).map_err(store_error)?;
    row.map(|row| decode_latest(key, row.value())).transpose()
}

/// A number of the `meta` table.
pub(super) fn number(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<u64, StoreError> {
    let row = meta.get(name).map_err(store_error)?.ok_or_else(|| damaged_row(name))?;
    layout::decode_number(name, row.value()).ok_or_else(|| damaged_row(name))
}

/// The position of a version that is a value.
pub(super) fn live(version: Version) -> Option<Position> {
    (version.kind == Kind::Value).then_some(version.at)
}

/// The newest replaced version of a key up to a revision.
pub(super) fn before(
    history: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
    revision: Revision,
) -> Result<Option<Version>, StoreError> {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    history_key(key, Revision(0), &mut from);
    history_key(key, revision, &mut to);
    let last = history
        .range::<&[u8]>(&*from..=&*to)
        .map_err(store_error)?
        .next_back()
        .transpose()
        .map_err(store_error)?;
    last.map(|(_, row)| decode_version(key, row.value())).transpose()
}

/// The version in a row of the index.
pub(super) fn decode_version(key: &[u8], row: &[u8]) -> Result<Version, StoreError> {
    Version::decode(key, row).ok_or_else(|| damaged_index(key))
}

/// The version and the charge in a row of `current`.
pub(super) fn decode_latest(key: &[u8], row: &[u8]) -> Result<Latest, StoreError> {
    Latest::decode(key, row).ok_or_else(|| damaged_index(key))
}

fn damaged_index(key: &[u8]) -> StoreError {
    damaged_row(format_args!("the index of {}", key.escape_ascii()))
}

/// The key of a row.
pub(super) fn decode_key(key: &[u8]) -> Result<Key, StoreError> {
    std::str::from_utf8(key)
        .map(Key::new)
        .map_err(|_| damaged_row(format_args!("the key {}", key.escape_ascii())))
}
