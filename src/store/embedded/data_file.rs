//! Disk usage of an open store.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::{DiskUsage, FileSize, FileStats, OpenError, StoreError};

use super::handle::Handle;
use super::space::Space;
use super::space_use::TableBytes;

/// The data file of an open store.
pub struct DataFile {
    pub(super) path: PathBuf,
    pub(super) handle: Arc<Handle>,
    pub(super) space: Arc<Space>,
}

impl DiskUsage for DataFile {
    fn file_stats(&self) -> Result<FileStats, StoreError> {
        let (revision, compacted) =
            self.handle.read(|snapshot| Ok((snapshot.revision(), snapshot.compacted()?)))?;
        let size = size(&self.path)
            .map_err(|error| StoreError::Unavailable(Arc::new(io::Error::other(error))))?;
        let (available, reserve) = (self.space.available(), self.space.reserve());
        let reusable = self.space.reusable();
        Ok(FileStats { size, available, reserve, reusable, revision, compacted })
    }

    fn used_bytes(&self) -> Result<u64, StoreError> {
        self.handle.read(|snapshot| TableBytes::of(snapshot).map(TableBytes::total))
    }
}

/// The size of a file.
pub(super) fn size(path: &Path) -> Result<FileSize, OpenError> {
    let data = fs::metadata(path)
        .map_err(|source| OpenError::NotReadable { path: path.to_owned(), source })?;
    Ok(FileSize { length: data.len(), allocated: data.blocks() * 512 })
}
