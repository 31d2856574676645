//! Compaction in bounded steps, each part of a group: removes everything that only revisions below
//! the compaction point can see.
//!
//! The point rises first, by [`Group::raise_compacted`], so reads below it fail before a row is
//! removed. The log up to the point lists the remaining work: a step removes its oldest rows
//! together with the versions that they replaced. The next compaction thus finishes an interrupted
//! one.

use std::ops::Bound;

use redb::ReadableTable;

use crate::store::StoreError;

use super::error::{damaged_row, store_error};
use super::group::{Effect, Group};
use super::layout::{Kind, Position, Record, RowCharge, Version, history_key};
use super::read::{decode_version, live, version};
use super::values::RemovedRows;

/// Changes that one step removes, or fewer if they have more values. Commits that share its group, or
/// wait for it, take a few milliseconds at most.
const STEP: usize = 200;
/// Keys that one step of compression visits.
const REPACK_KEYS: usize = 500;
/// Bytes of the values that one step of compression moves. The last one may exceed it.
const REPACK_BYTES: u64 = 1 << 20;

/// A key, with the position of its value if it has one.
type VisitedKey = (Vec<u8>, Option<Position>);

/// Progress of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompactProgress {
    /// More rows may remain.
    More,
    /// Everything below the compaction point is removed.
    Done,
}

/// A row of the log to remove.
struct Expired {
    at: Position,
    key: String,
    kind: Kind,
    replaced: Option<Version>,
    charge: Option<RowCharge>,
}

impl Group<'_> {
    /// Removes the oldest changes up to the compaction point. After the last one, compresses values of
    /// an earlier format.
    pub(super) fn compact_step(&mut self) -> Result<CompactProgress, StoreError> {
        let expired = self.expired()?;
        if expired.is_empty() {
            return self.repack_step();
        }
        let mut values = 0;
        for record in &expired {
            if values >= STEP {
                return Ok(CompactProgress::More);
            }
            values += self.remove(record)?.max(1);
            self.effect = Effect::Changed;
        }
        Ok(CompactProgress::More)
    }

    fn expired(&self) -> Result<Vec<Expired>, StoreError> {
        let end = Position::end_of(self.compacted()).encode();
        let bounds: (Bound<&[u8; Position::BYTES]>, _) = (Bound::Unbounded, Bound::Included(&end));
        let rows = self.log.range::<&[u8; Position::BYTES]>(bounds).map_err(store_error)?;
        rows.take(STEP)
            .map(|row| {
                let (at, row) = row.map_err(store_error)?;
                let at = Position::decode(at.value());
                let Record { key, kind, replaced, charge } = Record::decode(at, row.value())
                    .ok_or_else(|| {
                        damaged_row(format_args!("the log at revision {}", at.revision))
                    })?;
                Ok(Expired { at, key: key.to_owned(), kind, replaced, charge })
            })
            .collect()
    }

    /// Removes a change and what only earlier revisions can see. Returns the number of removed values.
    fn remove(&mut self, record: &Expired) -> Result<usize, StoreError> {
        let (key, mut values) = (record.key.as_bytes(), 0);
        if let Some(old) = record.replaced {
            history_key(key, old.at.revision, &mut self.buffer);
            self.history.remove(&*self.buffer).map_err(store_error)?;
            if old.kind == Kind::Value {
                let RemovedRows { rows, bytes } = self.values.remove(key, old.at, record.at)?;
                self.reusable += bytes;
                values = rows;
            }
        }
        if let Some(RowCharge { account, bytes }) = &record.charge {
            let usage = self.accounts.of(account);
            usage.history = usage.history.saturating_sub(u64::from(*bytes));
        }
        // A deletion that is the latest version has no older version to hide any more. A replaced
        // one is removed with its successor.
        if record.kind == Kind::Deletion
            && version(&self.current, key)?.is_some_and(|latest| latest.at == record.at)
        {
            self.current.remove(key).map_err(store_error)?;
        }
        self.log.remove(&record.at.encode()).map_err(store_error)?;
        Ok(values)
    }

    /// Compresses the next values of an earlier format, see [`super::repack`].
    pub(super) fn repack_step(&mut self) -> Result<CompactProgress, StoreError> {
        if !self.repacking.is_done && !self.values.has_earlier()? {
            self.repacking.finish();
        }
        if self.repacking.is_done {
            return Ok(CompactProgress::Done);
        }
        let limit = self.repacking.bytes_before + REPACK_BYTES;
        let keys = self.next_keys()?;
        let is_last = keys.len() < REPACK_KEYS;
        for (key, at) in keys {
            if self.repacking.bytes_before >= limit {
                return Ok(CompactProgress::More);
            }
            if let Some(row) = at.map(|at| self.values.repack(&key, at)).transpose()?.flatten() {
                self.reusable += row.before.saturating_sub(row.after);
                self.effect = Effect::Changed;
                self.repacking.add(row);
            }
            self.repacking.visited = key;
        }
        if is_last {
            self.repacking.finish();
        }
        Ok(CompactProgress::More)
    }

    /// The next keys to visit for compression, with the positions of those that have a value.
    fn next_keys(&self) -> Result<Vec<VisitedKey>, StoreError> {
        let after = Bound::Excluded(&*self.repacking.visited);
        let rows = self.current.range::<&[u8]>((after, Bound::Unbounded)).map_err(store_error)?;
        rows.take(REPACK_KEYS)
            .map(|row| {
                let (key, row) = row.map_err(store_error)?;
                let version = decode_version(key.value(), row.value())?;
                Ok((key.value().to_owned(), live(version)))
            })
            .collect()
    }
}
