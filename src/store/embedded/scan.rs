//! Scans: each value under some prefixes once, then the changes in the log, in steps of some
//! milliseconds at most. No read or write waits for a scan.
//!
//! A current value with a wrong checksum is remembered as damaged, and visited like the others: a
//! scan counts values and returns them to no client.
//! Several changes of one key within a step count as one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch as signal;

use crate::store::{
    Key, Revision, Scan, ScanProgress, ScanVisitor, Scanner, StoreError, ValueChange,
};

use super::error::{damaged_row, store_error};
use super::handle::Handle;
use super::layout::{CURRENT, HISTORY, LOG, Position, Record, Version};
use super::read::{Snapshot, before, decode_version, live};
use super::values::Values;

/// Keys that one step visits.
const STEP_KEYS: usize = 256;
/// Rows of the log that one step reads. The rest of the last transaction may exceed it.
const STEP_ROWS: usize = 1000;

/// Creates scanners of an open store. Does not keep it open.
pub struct Scans {
    pub(super) handle: Arc<Handle>,
    pub(super) latest: signal::Receiver<Revision>,
}

impl Scan for Scans {
    fn scanner(&self, prefixes: Vec<String>) -> Box<dyn Scanner> {
        let (handle, latest) = (self.handle.clone(), self.latest.clone());
        Box::new(LogScanner { handle, latest, prefixes, phase: Phase::Start })
    }
}

/// A scan of an open store.
struct LogScanner {
    handle: Arc<Handle>,
    latest: signal::Receiver<Revision>,
    prefixes: Vec<String>,
    phase: Phase,
}

/// The phase of a scan.
enum Phase {
    /// No key was visited yet.
    Start,
    /// Visiting the keys as of a revision.
    Keys(KeyCursor),
    /// Every change up to a revision was visited; following the log.
    Log(Revision),
}

/// The position of a scan among the keys.
struct KeyCursor {
    at: Revision,
    /// Index of the prefix.
    prefix: usize,
    /// The last key visited under the prefix.
    after: Option<Vec<u8>>,
}

impl Scanner for LogScanner {
    fn step(&mut self, visitor: &mut dyn ScanVisitor) -> Result<ScanProgress, StoreError> {
        let phase = std::mem::replace(&mut self.phase, Phase::Start);
        self.phase = self.handle.read(|snapshot| match phase {
            Phase::Start => {
                visitor.begin();
                let at = snapshot.revision();
                self.visit_keys(snapshot, KeyCursor { at, prefix: 0, after: None }, visitor)
            }
            Phase::Keys(cursor) if snapshot.compacted()? <= cursor.at => {
                self.visit_keys(snapshot, cursor, visitor)
            }
            Phase::Log(after) if snapshot.compacted()? <= after => {
                self.follow_log(snapshot, after, visitor)
            }
            Phase::Keys(_) | Phase::Log(_) => Ok(Phase::Start),
        })?;
        let latest = *self.latest.borrow();
        let is_done = matches!(self.phase, Phase::Log(revision) if revision >= latest);
        Ok(if is_done { ScanProgress::Done } else { ScanProgress::More })
    }

    fn restart(&mut self) {
        self.phase = Phase::Start;
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Phase::Log(visited) = self.phase else { return };
            if self.latest.wait_for(|latest| *latest > visited).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

impl LogScanner {
    /// Visits some keys as of the revision of the cursor.
    fn visit_keys(
        &self,
        snapshot: &Snapshot,
        cursor: KeyCursor,
        visitor: &mut dyn ScanVisitor,
    ) -> Result<Phase, StoreError> {
        let KeyCursor { at, prefix: number, mut after } = cursor;
        let Some(prefix) = self.prefixes.get(number) else { return Ok(Phase::Log(at)) };
        let (keys, history, values) = (
            snapshot.table(CURRENT)?,
            snapshot.table(HISTORY)?,
            ScannedValues::of(snapshot, &self.handle),
        );
        let start = after.as_deref().map_or(Bound::Included(prefix.as_bytes()), Bound::Excluded);
        let mut last = None;
        for (count, row) in
            keys.range::<&[u8]>((start, Bound::Unbounded)).map_err(store_error)?.enumerate()
        {
            let (key, row) = row.map_err(store_error)?;
            let key = key.value();
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            if count == STEP_KEYS {
                after = last;
                return Ok(Phase::Keys(KeyCursor { at, prefix: number, after }));
            }
            let latest = decode_version(key, row.value())?;
            let then =
                if latest.at.revision <= at { Some(latest) } else { before(&history, key, at)? };
            values.visit(text(key)?, None, then, visitor)?;
            last = Some(key.to_owned());
        }
        Ok(Phase::Keys(KeyCursor { at, prefix: number + 1, after: None }))
    }

    /// Visits the keys of the next changes after a revision.
    fn follow_log(
        &self,
        snapshot: &Snapshot,
        visited: Revision,
        visitor: &mut dyn ScanVisitor,
    ) -> Result<Phase, StoreError> {
        let mut changed = BTreeMap::<String, (Option<Version>, Version)>::new();
        let mut done = visited;
        let start = Position::end_of(visited).encode();
        let bounds: (Bound<&[u8; Position::BYTES]>, _) =
            (Bound::Excluded(&start), Bound::Unbounded);
        for (rows, row) in snapshot
            .table(LOG)?
            .range::<&[u8; Position::BYTES]>(bounds)
            .map_err(store_error)?
            .enumerate()
        {
            let (at, row) = row.map_err(store_error)?;
            let at = Position::decode(at.value());
            if at.revision > done && rows >= STEP_ROWS {
                break;
            }
            let Record { key, kind, replaced, .. } = Record::decode(at, row.value())
                .ok_or_else(|| damaged_row(format_args!("the log at revision {}", at.revision)))?;
            if self.prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                let version = Version { at, kind };
                changed
                    .entry(key.to_owned())
                    .and_modify(|(_, now)| *now = version)
                    .or_insert((replaced, version));
            }
            done = at.revision;
        }
        let values = ScannedValues::of(snapshot, &self.handle);
        for (key, (before, now)) in &changed {
            values.visit(key, *before, Some(*now), visitor)?;
        }
        Ok(Phase::Log(done))
    }
}

struct ScannedValues<'a> {
    values: &'a Values,
    handle: &'a Handle,
}

/// A value. That of a damaged one may be wrong, or empty.
struct ScannedValue {
    bytes: Bytes,
    is_damaged: bool,
}

impl<'a> ScannedValues<'a> {
    fn of(snapshot: &'a Snapshot, handle: &'a Handle) -> Self {
        Self { values: snapshot.values(), handle }
    }

    fn read(&self, key: &str, at: Position) -> Result<ScannedValue, StoreError> {
        Ok(match self.values.value(key.as_bytes(), at)? {
            Some(bytes) => ScannedValue { bytes, is_damaged: false },
            None => {
                let bytes = self.values.unverified(at)?.unwrap_or_default();
                ScannedValue { bytes, is_damaged: true }
            }
        })
    }

    /// Visits a key, and records damage of its value now. A value that is missing in a damaged file
    /// counts as an empty one.
    fn visit(
        &self,
        key: &str,
        before: Option<Version>,
        now: Option<Version>,
        visitor: &mut dyn ScanVisitor,
    ) -> Result<(), StoreError> {
        let read = |version: Option<Version>| {
            version.and_then(live).map(|at| self.read(key, at)).transpose()
        };
        let (before, after) = (read(before)?, read(now)?);
        if let (Some(at), Some(value)) = (now.and_then(live), &after)
            && value.is_damaged
        {
            self.handle.record_damage(&Key::new(key), at.revision);
        }
        let [before, after] =
            [&before, &after].map(|value| value.as_ref().map(|value| &*value.bytes));
        if before.is_some() || after.is_some() {
            visitor.visit(ValueChange { key, before, after });
        }
        Ok(())
    }
}

fn text(key: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(key)
        .map_err(|_| damaged_row(format_args!("the key {}", key.escape_ascii())))
}
