//! Looking at the free space before every group, because running out of it inside of redb stops the store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::{Change, StoreError};

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

/// The reserve of one folder.
pub(super) struct Space {
    pub(super) dir: PathBuf,
    pub(super) reserve: Reserve,
}

impl Space {
    /// What can be written now. A failing probe stops nothing: redb will say what is wrong.
    pub(super) fn room(&self) -> Room {
        match (self.reserve.free)(&self.dir) {
            Ok(free) if free < self.reserve.bytes / 4 => Room::Out(self.full(free)),
            Ok(free) if free < self.reserve.bytes => Room::Scarce(self.full(free)),
            _ => Room::Plenty,
        }
    }

    fn full(&self, free: u64) -> StoreError {
        let reason = format!("{free} bytes are free in {}, {} are kept", self.dir.display(), self.reserve.bytes);
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
