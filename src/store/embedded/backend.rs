//! The file below redb: [`FileOpener`] opens it, and a [`BackendLayer`] changes single operations
//! of it, for a read-only view or for a benchmark with a slow disk.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub use redb::backends::FileBackend;
pub use redb::{BackendError, StorageBackend};

/// Opens an existing data file for reading and writing.
pub type OpenFile = dyn Fn(&Path) -> io::Result<Box<dyn StorageBackend>> + Send + Sync;

/// Opens the data file, each time that the store opens it. A new store creates its file without it.
#[derive(Clone)]
pub struct FileOpener(pub Arc<OpenFile>);

impl Default for FileOpener {
    /// Opens the plain file.
    fn default() -> Self {
        Self(Arc::new(|path| Ok(Box::new(open_file(path)?))))
    }
}

impl fmt::Debug for FileOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileOpener").finish_non_exhaustive()
    }
}

/// Opens a plain file, the bottom of all layers.
///
/// # Errors
/// The error of the operating system.
pub fn open_file(path: &Path) -> io::Result<FileBackend> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    FileBackend::new(file).map_err(io::Error::other)
}

/// Opens a plain file that is only read, which a read-only volume allows. It is not locked: nobody
/// can write to it there.
///
/// # Errors
/// The error of the operating system.
pub(super) fn open_unwritable_file(path: &Path) -> io::Result<impl StorageBackend> {
    File::open(path).map(UnwritableFile)
}

/// A file that is only read.
#[derive(Debug)]
struct UnwritableFile(File);

impl StorageBackend for UnwritableFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A change to the operations of an inner backend. The default methods call the inner backend.
/// [`Layered`] makes a backend of it.
#[expect(clippy::len_without_is_empty, reason = "the length of a file, not of a collection")]
pub trait BackendLayer: fmt::Debug + Send + Sync + 'static {
    /// The backend below.
    fn inner(&self) -> &dyn StorageBackend;

    /// The length in bytes.
    ///
    /// # Errors
    /// An error of the disk; the same for the methods below.
    fn len(&self) -> io::Result<u64> {
        self.inner().len()
    }

    /// Fills `out` with the bytes at an offset.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner().read(offset, out)
    }

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner().set_len(length)
    }

    /// Makes everything written durable.
    fn sync_data(&self) -> io::Result<()> {
        self.inner().sync_data()
    }

    /// Writes bytes at an offset.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner().write(offset, data)
    }
}

impl BackendLayer for Box<dyn StorageBackend> {
    fn inner(&self) -> &dyn StorageBackend {
        &**self
    }
}

/// A layer as a backend. Locks always reach the innermost backend: without them, two processes
/// could write to one file.
#[derive(Debug)]
pub struct Layered<L>(pub L);

impl<L: BackendLayer> StorageBackend for Layered<L> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.inner().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.inner().try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.inner().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.inner().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.inner().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.inner().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.inner().query_lock_range(start, end)
    }
}
