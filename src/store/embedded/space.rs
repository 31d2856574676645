//! Looking at the free space before every group, because running out of it inside of redb costs reopening the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{Change, StoreError};

use super::open::DATA_FILE;

/// How long values are refused after redb ran out of space, before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Finds out how many bytes this process may still write to the file system of a folder.
pub type FreeSpace = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// How much space to leave free, and how to find out what is free.
#[derive(Clone)]
pub struct Reserve {
    /// Below this, values are refused with `Full`. Deletions and compaction go on down to a quarter of it, since they
    /// are what makes room. Must exceed what one group of transactions writes, about 16 MiB.
    pub bytes: u64,
    /// Asked before every group.
    pub free: Arc<FreeSpace>,
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The space for one folder.
pub(super) struct Space {
    dir: PathBuf,
    reserve: Option<Reserve>,
    exhausted: Mutex<Option<Exhausted>>,
}

/// The file could not grow although there seemed to be room, as with a quota or a limit on the size of files.
struct Exhausted {
    since: Instant,
    reason: String,
}

impl Space {
    pub(super) fn new(dir: PathBuf, reserve: Option<Reserve>) -> Self {
        Self { dir, reserve, exhausted: Mutex::default() }
    }

    /// The data file in the folder.
    pub(super) fn data_file(&self) -> PathBuf {
        self.dir.join(DATA_FILE)
    }

    /// How many bytes may still be written to the file system, if that is known.
    pub(super) fn available(&self) -> Option<u64> {
        self.reserve.as_ref().and_then(|reserve| (reserve.free)(&self.dir).ok())
    }

    /// What can be written now. A failing probe stops nothing: redb will say what is wrong.
    pub(super) fn room(&self) -> Room {
        if let Some(reason) = self.exhausted() {
            return Room::Scarce(StoreError::Full { reason });
        }
        let Some(Reserve { bytes, free }) = &self.reserve else { return Room::Plenty };
        match free(&self.dir) {
            Ok(free) if free < bytes / 4 => Room::Out(self.full(free, *bytes)),
            Ok(free) if free < *bytes => Room::Scarce(self.full(free, *bytes)),
            _ => Room::Plenty,
        }
    }

    /// Notes that redb ran out of space: for a moment, only what makes room is let through.
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

    fn full(&self, free: u64, kept: u64) -> StoreError {
        let reason = format!("{free} bytes are free in {}, {kept} are kept", self.dir.display());
        StoreError::Full { reason }
    }
}

/// How much may be written.
pub(super) enum Room {
    /// Anything.
    Plenty,
    /// What makes room.
    Scarce(StoreError),
    /// Nothing.
    Out(StoreError),
}

impl Room {
    /// Whether these changes may be made. None at all may always be made.
    pub(super) fn for_changes(&self, changes: &[Change]) -> Result<(), StoreError> {
        match self {
            Self::Scarce(full) if changes.iter().any(|change| matches!(change, Change::Put(..))) => Err(full.clone()),
            Self::Out(full) if !changes.is_empty() => Err(full.clone()),
            _ => Ok(()),
        }
    }

    /// Whether compaction may go on.
    pub(super) fn for_upkeep(&self) -> Result<(), StoreError> {
        if let Self::Out(full) = self { Err(full.clone()) } else { Ok(()) }
    }
}
