//! Watching: each watcher reads the log from its own cursor. It is only woken by the writer, so there is no queue that
//! could overflow, and a watcher that nobody polls costs nothing.
//!
//! Reads happen on the calling thread in steps that are bounded by changes, bytes and rows, and take about a
//! millisecond at most.

use std::ops::Bound;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redb::ReadOnlyTable;
use tokio::sync::watch;

use crate::store::{Batch, Entry, Event, Key, Revision, StoreError, Watch, WatchError};

use super::layout::{Kind, LOG, Position, Record, VALUES};
use super::read::{Snapshot, entry, live};
use super::shared::{Shared, damaged_row, fault};

/// How many changes one batch holds, but for the rest of its last transaction.
const BATCH_EVENTS: usize = 64;
/// How many bytes of values one batch holds, but for the rest of its last transaction.
const BATCH_BYTES: usize = 512 << 10;
/// How many rows of the log one step passes over.
const STEP_ROWS: usize = 1000;

/// A cursor in the log.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    latest: watch::Receiver<Revision>,
    prefix: String,
    cursor: Revision,
    /// Why the watch has ended.
    ended: Option<WatchError>,
}

impl Watcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        latest: watch::Receiver<Revision>,
        prefix: String,
        cursor: Revision,
    ) -> Self {
        Self { shared, latest, prefix, cursor, ended: None }
    }

    async fn advance(&mut self) -> Result<Batch, WatchError> {
        loop {
            // Noted before the log is read, so that no commit slips in between.
            let latest = *self.latest.borrow_and_update();
            if self.cursor >= latest {
                self.latest.changed().await.map_err(|_| self.shared.gone())?;
                continue;
            }
            let step = self.shared.read_patiently(|snapshot| step(snapshot, &self.prefix, self.cursor)).await?;
            self.cursor = step.revision;
            if !step.events.is_empty() {
                return Ok(step);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Watch for Watcher {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, WatchError>> {
        Box::pin(async move {
            if let Some(error) = &self.ended {
                return Err(error.clone());
            }
            self.advance().await.inspect_err(|error| self.ended = Some(error.clone()))
        })
    }

    fn revision(&self) -> Revision {
        self.cursor
    }
}

/// What follows after a revision, as far as one step goes. May have no events.
fn step(snapshot: &Snapshot, prefix: &str, after: Revision) -> Result<Batch, StoreError> {
    let compacted = snapshot.compacted()?;
    if after < compacted {
        return Err(StoreError::Compacted { requested: after, compacted });
    }
    let mut reader = Reader { values: snapshot.table(VALUES)?, events: Vec::new(), bytes: 0 };
    let mut done = after;
    let start = Position::end_of(after).encode();
    let bounds: (Bound<&[u8; Position::BYTES]>, _) = (Bound::Excluded(&start), Bound::Unbounded);
    let log = snapshot.table(LOG)?;
    for (rows, row) in log.range::<&[u8; Position::BYTES]>(bounds).map_err(fault)?.enumerate() {
        let (at, row) = row.map_err(fault)?;
        let at = Position::decode(at.value());
        if at.revision > done && (rows >= STEP_ROWS || reader.is_full()) {
            return Ok(Batch { events: reader.events, revision: done });
        }
        let record = Record::decode(at, row.value())
            .ok_or_else(|| damaged_row(format_args!("the log at revision {}", at.revision)))?;
        if record.key.starts_with(prefix) {
            reader.take(at, &record)?;
        }
        done = at.revision;
    }
    Ok(Batch { events: reader.events, revision: snapshot.current()? })
}

struct Reader {
    values: ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    events: Vec<Event>,
    bytes: usize,
}

impl Reader {
    fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self, at: Position, record: &Record<'_>) -> Result<(), StoreError> {
        let key = Key::new(record.key);
        let previous = record.replaced.and_then(live).map(|old| self.entry(&key, old)).transpose()?;
        let event = match (record.kind, previous) {
            (Kind::Value, previous) => Event::Put { entry: self.entry(&key, at)?, previous },
            (Kind::Deletion, Some(previous)) => Event::Delete { key, revision: at.revision, previous },
            (Kind::Deletion, None) => {
                let reason = format!("revision {} deletes {key}, which had no value", at.revision);
                return Err(StoreError::Corrupt { reason });
            }
        };
        self.events.push(event);
        Ok(())
    }

    fn entry(&mut self, key: &Key, at: Position) -> Result<Entry, StoreError> {
        let entry = entry(&self.values, key, at)?;
        self.bytes += entry.value.len();
        Ok(entry)
    }
}
