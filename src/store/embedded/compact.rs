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
use super::layout::{Kind, Position, Record, RowCharge, Version, file_bytes, history_key};
use super::read::version;

/// Changes that one step removes. Commits that share its group, or wait for it, take a few
/// milliseconds at most.
const STEP: usize = 200;

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
    /// Removes the oldest changes up to the compaction point.
    pub(super) fn compact_step(&mut self) -> Result<CompactProgress, StoreError> {
        let expired = self.expired()?;
        for record in &expired {
            self.remove(record)?;
            self.effect = Effect::Changed;
        }
        Ok(if expired.len() < STEP { CompactProgress::Done } else { CompactProgress::More })
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

    fn remove(&mut self, record: &Expired) -> Result<(), StoreError> {
        let key = record.key.as_bytes();
        if let Some(old) = record.replaced {
            history_key(key, old.at.revision, &mut self.buffer);
            self.history.remove(&*self.buffer).map_err(store_error)?;
            if old.kind == Kind::Value
                && let Some(row) = self.values.remove(&old.at.encode()).map_err(store_error)?
            {
                self.reusable += file_bytes(row.value().len());
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
        Ok(())
    }
}
