//! Data at rest, copied for every server that writes, so that each turn starts from the same state.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

use crate::site::Site;

/// Folder that nothing writes to.
pub(crate) struct Seed(pub(crate) TempDir);

impl Seed {
    /// A copy that is deleted on drop. It is synced to the disk on return, so that copying does not
    /// affect the measurement.
    ///
    /// # Errors
    /// I/O errors, such as a full disk.
    pub(crate) fn copy(&self, site: &Site) -> anyhow::Result<TempDir> {
        let copy = site.data()?;
        for file in fs::read_dir(self.0.path())? {
            let file = file?;
            // The folder may also hold a socket.
            if !file.file_type()?.is_file() {
                continue;
            }
            copy_file(&file.path(), &copy.path().join(file.file_name()))
                .context("cannot copy the data")?;
        }
        File::open(copy.path())?.sync_all()?;
        Ok(copy)
    }
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
