//! Data at rest, of which every server that writes gets a copy: so each turn finds the same.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

use crate::site::Site;

/// A folder that nobody writes to.
pub(crate) struct Seed(pub(crate) TempDir);

impl Seed {
    /// A copy, which goes away with the value. It is on the disk when this returns, so that nothing of the copying falls
    /// into what is measured.
    ///
    /// # Errors
    /// What the system says, such as that the disk is full.
    pub(crate) fn copy(&self, site: &Site) -> anyhow::Result<TempDir> {
        let copy = site.data()?;
        for file in fs::read_dir(self.0.path())? {
            let file = file?;
            // A socket may lie there too.
            if !file.file_type()?.is_file() {
                continue;
            }
            copy_file(&file.path(), &copy.path().join(file.file_name()))
                .context("the data cannot be copied")?;
        }
        File::open(copy.path())?.sync_all()?;
        Ok(copy)
    }
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
