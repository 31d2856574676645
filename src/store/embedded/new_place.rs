//! The place of a new store, in a folder of its own beside it until the store is complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::{NewPlace, OpenError};

use super::lock::LockWait;
use super::open;
use super::options::DATA_FILE;

/// The name of the folder. An existing one is left over from a killed process.
const FOLDER: &str = "store.partial";

/// A reserved place of a new store.
pub(super) struct NewFolder {
    dir: PathBuf,
    new: PathBuf,
    _lock: File,
}

impl NewFolder {
    /// Locks a folder without a store, and creates the folder of the new one.
    pub(super) fn reserve(dir: &Path) -> Result<Self, OpenError> {
        let lock = open::take(dir, &mut LockWait::new(dir, Duration::ZERO))?;
        let new = dir.join(FOLDER);
        let removed = match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        removed.map_err(|source| OpenError::NotWritable { path: new.clone(), source })?;
        Ok(Self { dir: dir.to_owned(), new, _lock: lock })
    }
}

impl NewPlace for NewFolder {
    fn path(&self) -> &Path {
        &self.new
    }

    fn fill(self: Box<Self>) -> Result<(), OpenError> {
        let path = self.dir.join(DATA_FILE);
        let placed = fs::rename(self.new.join(DATA_FILE), &path)
            .and_then(|()| File::open(&self.dir)?.sync_all());
        placed.map_err(|source| OpenError::NotWritable { path, source })
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.new)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.new.display(), %error, "an incomplete store cannot be removed");
        }
    }
}
