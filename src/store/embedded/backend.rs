//! What lies under redb: the data file as the operating system has it, unless somebody who measures or tests puts
//! something else there.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

pub use redb::backends::FileBackend;
pub use redb::{BackendError, StorageBackend};

/// Opens a data file that is there, for reading and writing.
pub type OpenFile = dyn Fn(&Path) -> io::Result<Box<dyn StorageBackend>> + Send + Sync;

/// How the data file is opened, each time that it is. The first file of a new store is made without it.
#[derive(Clone)]
pub struct Opener(pub Arc<OpenFile>);

impl Default for Opener {
    /// The file itself.
    fn default() -> Self {
        Self(Arc::new(|path| Ok(Box::new(open_file(path)?))))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opener").finish_non_exhaustive()
    }
}

/// The file itself, for what wraps it.
///
/// # Errors
/// What the operating system says.
pub fn open_file(path: &Path) -> io::Result<FileBackend> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    FileBackend::new(file).map_err(io::Error::other)
}

/// What an [`Opener`] opened, as redb takes it. Passes everything on, the locks too: without those, two processes could
/// write to one file.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Box<dyn StorageBackend>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
