//! Disk usage of an open store.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::ReadableTableMetadata;

use crate::store::{DiskUsage, FileSize, FileStats, OpenError, StoreError};

use super::error::store_error;
use super::handle::Handle;
use super::layout::{ACCOUNTS, CURRENT, DELTAS, HISTORY, LOG, META, PACKED, VALUES};
use super::space::Space;

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
        fn bytes(table: &impl ReadableTableMetadata) -> Result<u64, StoreError> {
            let stats = table.stats().map_err(store_error)?;
            Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
        }
        self.handle.read(|snapshot| {
            Ok(bytes(&snapshot.table(PACKED)?)?
                + bytes(&snapshot.table(VALUES)?)?
                + bytes(&snapshot.table(DELTAS)?)?
                + bytes(&snapshot.table(LOG)?)?
                + bytes(&snapshot.table(CURRENT)?)?
                + bytes(&snapshot.table(HISTORY)?)?
                + bytes(&snapshot.table(ACCOUNTS)?)?
                + bytes(&snapshot.table(META)?)?)
        })
    }
}

/// The size of a file.
pub(super) fn size(path: &Path) -> Result<FileSize, OpenError> {
    let data = fs::metadata(path)
        .map_err(|source| OpenError::NotReadable { path: path.to_owned(), source })?;
    Ok(FileSize { length: data.len(), allocated: data.blocks() * 512 })
}
