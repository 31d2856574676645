//! Disk usage: the size of the data file, and the free space beside it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Revision, StoreError};

/// Disk space, in bytes, that a server keeps free by default. Below it, writes are rejected, so that
/// the store never meets a full disk.
pub const RESERVE_BYTES: u64 = 64 << 20;

/// The ability to report the disk usage of an open store.
pub trait DiskUsage: Send + Sync + 'static {
    /// The state of the data file. Cheap.
    ///
    /// # Errors
    /// The store cannot be read, or the operating system does not report the size of the file.
    fn file_stats(&self) -> Result<FileStats, StoreError>;

    /// Bytes of the data file in pages that are in use, including past revisions. Reads every page.
    ///
    /// # Errors
    /// The store cannot be read.
    fn used_bytes(&self) -> Result<u64, StoreError>;
}

/// The data file and the revisions in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStats {
    /// The size of the file.
    pub size: FileSize,
    /// Free bytes on the file system, if known.
    pub available: Option<u64>,
    /// Bytes that are kept free on the file system, see [`Reserve`]; 0 for none.
    pub reserve: u64,
    /// Bytes of the file that compaction has freed and no value has taken since; an estimate.
    pub reusable: u64,
    /// The latest revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compacted: Revision,
}

/// The size of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSize {
    /// The length.
    pub length: u64,
    /// The allocated space, less than the length for a sparse file.
    pub allocated: u64,
}

/// Returns the bytes that this process may still write to the file system of a folder.
pub type FreeSpace = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// The disk space that a store leaves free.
#[derive(Clone)]
pub struct Reserve {
    /// Below this number of bytes, values are rejected with `Full`, unless the file itself has room
    /// for them. Deletions and compaction, which make room, go on down to a quarter of it. Must
    /// exceed one group of transactions, about 16 MiB.
    pub bytes: u64,
    /// Called before every group of transactions.
    pub free: Arc<FreeSpace>,
}

impl Default for Reserve {
    /// [`RESERVE_BYTES`] on the file system itself.
    fn default() -> Self {
        Self { bytes: RESERVE_BYTES, free: Arc::new(free_space) }
    }
}

impl Reserve {
    /// The least reserve: it must exceed one group of transactions.
    pub const MIN_BYTES: u64 = RESERVE_BYTES / 2;

    /// This number of bytes on the file system itself.
    pub fn of(bytes: u64) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The free space on the file system of a folder, in bytes.
///
/// # Errors
/// The error of statvfs(3).
pub fn free_space(folder: &Path) -> io::Result<u64> {
    Ok(rustix::fs::statvfs(folder).map(|disk| disk.f_bavail * disk.f_frsize)?)
}
