//! Compaction, one bounded step at a time inside of a group: removes what only revisions below the compaction point
//! can see.
//!
//! The point is raised first, by [`Group::raise`], so readers are refused before anything goes away. The log up to the
//! point is the list of what is left to do: a step takes its oldest rows and removes them together with the versions
//! that they replaced. A compaction that was cut off is thereby finished by the next one.

use std::ops::Bound;

use redb::ReadableTable;

use crate::store::StoreError;

use super::group::{Effect, Group};
use super::layout::{Kind, Position, Record, Version, history_key};
use super::read::version;
use super::shared::{damaged_row, fault};

/// How many changes one step forgets. Keeps the commits that share its group, or wait for it, below a few milliseconds.
const STEP: usize = 200;

/// What one step leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trimmed {
    /// There may be more to remove.
    More,
    /// Everything below the compaction point is gone.
    Done,
}

/// A row of the log that is on its way out.
struct Expired {
    at: Position,
    key: String,
    kind: Kind,
    replaced: Option<Version>,
}

impl Group<'_> {
    /// Removes the oldest changes up to the compaction point.
    pub(super) fn trim(&mut self) -> Result<Trimmed, StoreError> {
        let expired = self.expired()?;
        for record in &expired {
            self.forget(record)?;
            self.effect = Effect::Changed;
        }
        Ok(if expired.len() < STEP { Trimmed::Done } else { Trimmed::More })
    }

    fn expired(&self) -> Result<Vec<Expired>, StoreError> {
        let end = Position::end_of(self.compacted()).encode();
        let bounds: (Bound<&[u8; Position::BYTES]>, _) = (Bound::Unbounded, Bound::Included(&end));
        let rows = self.log.range::<&[u8; Position::BYTES]>(bounds).map_err(fault)?;
        rows.take(STEP)
            .map(|row| {
                let (at, row) = row.map_err(fault)?;
                let at = Position::decode(at.value());
                let Record { key, kind, replaced } = Record::decode(at, row.value())
                    .ok_or_else(|| damaged_row(format_args!("the log at revision {}", at.revision)))?;
                Ok(Expired { at, key: key.to_owned(), kind, replaced })
            })
            .collect()
    }

    fn forget(&mut self, record: &Expired) -> Result<(), StoreError> {
        let key = record.key.as_bytes();
        if let Some(old) = record.replaced {
            history_key(key, old.at.revision, &mut self.buffer);
            self.history.remove(&*self.buffer).map_err(fault)?;
            if old.kind == Kind::Value {
                self.values.remove(&old.at.encode()).map_err(fault)?;
            }
        }
        // A deletion that is still the latest version hides nothing any more; a replaced one goes with its successor.
        if record.kind == Kind::Deletion && version(&self.current, key)?.is_some_and(|latest| latest.at == record.at) {
            self.current.remove(key).map_err(fault)?;
        }
        self.log.remove(&record.at.encode()).map_err(fault)?;
        Ok(())
    }
}
