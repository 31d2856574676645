//! Free space, checked before every group: when redb meets a full disk, the file must be reopened.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{Change, Reserve, StoreError};

/// Time for which values are rejected after redb met a full disk.
const PAUSE: Duration = Duration::from_secs(1);

/// The free space of one folder.
pub(super) struct Space {
    dir: PathBuf,
    reserve: Option<Reserve>,
    /// Bytes of the file that compaction has freed and no value has taken since.
    reusable: AtomicU64,
    exhausted: Mutex<Option<Exhausted>>,
}

/// A file that could not grow although the disk has room, as with a quota or a limit on file sizes.
struct Exhausted {
    since: Instant,
    reason: String,
}

impl Space {
    pub(super) fn new(dir: PathBuf, reserve: Option<Reserve>) -> Self {
        Self { dir, reserve, reusable: AtomicU64::new(0), exhausted: Mutex::default() }
    }

    /// Free bytes on the file system, if known.
    pub(super) fn available(&self) -> Option<u64> {
        self.reserve.as_ref().and_then(|reserve| (reserve.free)(&self.dir).ok())
    }

    /// Bytes that are kept free on the file system; 0 for none.
    pub(super) fn reserve(&self) -> u64 {
        self.reserve.as_ref().map_or(0, |reserve| reserve.bytes)
    }

    /// Bytes of the file that compaction has freed and no value has taken since.
    pub(super) fn reusable(&self) -> u64 {
        self.reusable.load(Ordering::Relaxed)
    }

    /// Sets [`Self::reusable`] as of the latest commit.
    pub(super) fn set_reusable(&self, bytes: u64) {
        self.reusable.store(bytes, Ordering::Relaxed);
    }

    /// The room for writes now.
    ///
    /// The file does not shrink when values are removed; values can take their place. So below the
    /// reserve there is room for values as long as enough of the file is reusable. That number is
    /// an estimate: a large value may find no place and make the file grow. Below half of the
    /// reserve it is not trusted. An error of the probe counts as room: redb then returns its own
    /// error.
    pub(super) fn room(&self) -> Room {
        if let Some(reason) = self.exhausted() {
            return Room::Scarce(StoreError::Full { reason });
        }
        let Some(Reserve { bytes, free }) = &self.reserve else { return Room::Plenty };
        match free(&self.dir) {
            Ok(free) if free < bytes / 4 => Room::Out(self.full(free, *bytes)),
            Ok(free) if free < *bytes && !self.fits_inside(free, *bytes) => {
                Room::Scarce(self.full(free, *bytes))
            }
            _ => Room::Plenty,
        }
    }

    /// Records that redb met a full disk: for [`PAUSE`], only changes that make room are accepted.
    pub(super) fn exhaust(&self, reason: String) {
        let exhausted = Exhausted { since: Instant::now(), reason };
        *self.exhausted.lock().unwrap_or_else(PoisonError::into_inner) = Some(exhausted);
    }

    fn exhausted(&self) -> Option<String> {
        let mut exhausted = self.exhausted.lock().unwrap_or_else(PoisonError::into_inner);
        if exhausted.as_ref().is_some_and(|exhausted| exhausted.since.elapsed() >= PAUSE) {
            *exhausted = None;
        }
        exhausted.as_ref().map(|exhausted| exhausted.reason.clone())
    }

    fn fits_inside(&self, free: u64, kept: u64) -> bool {
        free >= kept / 2 && self.reusable() >= kept / 4
    }

    fn full(&self, free: u64, kept: u64) -> StoreError {
        let reason = format!("{free} bytes are free in {}, {kept} are kept", self.dir.display());
        StoreError::Full { reason }
    }
}

/// The room for writes.
pub(super) enum Room {
    /// For any change.
    Plenty,
    /// Only for deletions and compaction, which make room.
    Scarce(StoreError),
    /// For nothing.
    Out(StoreError),
}

impl Room {
    /// Checks the room for changes. An empty list always passes.
    pub(super) fn for_changes(&self, changes: &[Change]) -> Result<(), StoreError> {
        match self {
            Self::Scarce(full)
                if changes.iter().any(|change| matches!(change, Change::Put(..))) =>
            {
                Err(full.clone())
            }
            Self::Out(full) if !changes.is_empty() => Err(full.clone()),
            _ => Ok(()),
        }
    }

    /// Checks the room for compaction.
    pub(super) fn for_compaction(&self) -> Result<(), StoreError> {
        if let Self::Out(full) = self { Err(full.clone()) } else { Ok(()) }
    }
}
