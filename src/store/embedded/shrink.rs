//! Making the data file as small as what is in it. redb needs the file for itself for that.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::OpenError;
use super::open::{self, DATA_FILE, Open, Options};
use super::shared::{fault, panicked};

/// How much a file takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSize {
    /// Its length.
    pub length: u64,
    /// What it takes of the disk: less than its length where parts were never written.
    pub allocated: u64,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// Before.
    pub before: FileSize,
    /// After.
    pub after: FileSize,
}

/// Compacts the data file in a folder, which must be there. Blocks.
///
/// Safe to be cut off at any moment. What is stored, and what is remembered of the past, stays as it is.
///
/// # Errors
/// The file cannot be opened or written, or another process has it.
pub fn shrink(options: &Options) -> Result<Shrunk, OpenError> {
    let path = options.dir.join(DATA_FILE);
    let Open { mut database, lock: _held } = open::open_existing(options)?;
    let before = size(&path)?;
    let work = std::panic::AssertUnwindSafe(|| {
        while database.compact().map_err(fault)? {}
        database.close().map_err(fault)
    });
    let done = std::panic::catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&*panic)));
    done.map_err(|error| open::unwritable(&path, error))?;
    Ok(Shrunk { before, after: size(&path)? })
}

/// The size of a file.
pub(super) fn size(path: &Path) -> Result<FileSize, OpenError> {
    let data = fs::metadata(path).map_err(|source| OpenError::NotReadable { path: path.to_owned(), source })?;
    Ok(FileSize { length: data.len(), allocated: data.blocks() * 512 })
}
