//! Watches: each watcher reads the log from its own cursor. The writer only wakes it, so no queue
//! can overflow, and a watcher that is not polled costs nothing.
//!
//! Reads run on the calling thread, in steps that are bounded by changes, bytes and rows and take
//! about a millisecond at most.

use std::ops::Bound;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::store::{Batch, Entry, Event, Key, Revision, StoreError, Watch, WatchError};

use super::error::{damaged_row, store_error};
use super::handle::Handle;
use super::layout::{Kind, LOG, Position, Record};
use super::read::{Snapshot, live};
use super::values::Values;

/// Changes in one batch. The rest of the last transaction may exceed it.
const BATCH_EVENTS: usize = 64;
/// Bytes of values in one batch. The rest of the last transaction may exceed it.
const BATCH_BYTES: usize = 512 << 10;
/// Rows of the log that one step reads.
const STEP_ROWS: usize = 1000;

/// A cursor in the log.
pub(super) struct Watcher {
    handle: Arc<Handle>,
    latest: watch::Receiver<Revision>,
    prefix: String,
    cursor: Revision,
    /// The error that has ended the watch.
    ended: Option<WatchError>,
}

impl Watcher {
    pub(super) fn new(
        handle: Arc<Handle>,
        latest: watch::Receiver<Revision>,
        prefix: String,
        cursor: Revision,
    ) -> Self {
        Self { handle, latest, prefix, cursor, ended: None }
    }

    async fn advance(&mut self) -> Result<Batch, WatchError> {
        loop {
            // Before the log is read, so that no commit is missed in between.
            let latest = *self.latest.borrow_and_update();
            if self.cursor >= latest {
                self.latest.changed().await.map_err(|_| self.handle.writer_ended())?;
                continue;
            }
            let step = self
                .handle
                .read_with_retry(|snapshot| step(snapshot, &self.prefix, self.cursor))
                .await?;
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

/// The changes of one step after a revision. May have no events.
fn step(snapshot: &Snapshot, prefix: &str, after: Revision) -> Result<Batch, StoreError> {
    let compacted = snapshot.compacted()?;
    if after < compacted {
        return Err(StoreError::Compacted { requested: after, compacted });
    }
    let mut reader = Reader { values: snapshot.values(), events: Vec::new(), bytes: 0 };
    let mut done = after;
    let start = Position::end_of(after).encode();
    let bounds: (Bound<&[u8; Position::BYTES]>, _) = (Bound::Excluded(&start), Bound::Unbounded);
    let log = snapshot.table(LOG)?;
    for (rows, row) in log.range::<&[u8; Position::BYTES]>(bounds).map_err(store_error)?.enumerate()
    {
        let (at, row) = row.map_err(store_error)?;
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

struct Reader<'s> {
    values: &'s Values,
    events: Vec<Event>,
    bytes: usize,
}

impl Reader<'_> {
    fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self, at: Position, record: &Record<'_>) -> Result<(), StoreError> {
        let key = Key::new(record.key);
        let previous =
            record.replaced.and_then(live).map(|old| self.entry(&key, old)).transpose()?;
        let event = match (record.kind, previous) {
            (Kind::Value, previous) => Event::Put { entry: self.entry(&key, at)?, previous },
            (Kind::Deletion, Some(previous)) => {
                Event::Delete { key, revision: at.revision, previous }
            }
            (Kind::Deletion, None) => {
                let reason = format!("revision {} deletes {key}, which had no value", at.revision);
                return Err(StoreError::Corrupt { reason });
            }
        };
        self.events.push(event);
        Ok(())
    }

    fn entry(&mut self, key: &Key, at: Position) -> Result<Entry, StoreError> {
        let entry = self.values.entry(key, at)?;
        self.bytes += entry.value.len();
        Ok(entry)
    }
}
