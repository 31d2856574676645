//! Maintenance of a folder that no server uses.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::store::{
    ArchiveReader, Backup, DefragReport, FsckReport, Maintenance, NewPlace, OpenError, Opened,
    RestoreError, RestoreOptions, Restored,
};

use super::defrag::defrag;
use super::fsck::fsck;
use super::new_place::NewFolder;
use super::options::{DATA_FILE, Options};
use super::restore::restore;
use super::salvage::Salvage;
use super::store::Embedded;

/// The data folder of an embedded store.
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// The folder at a path, which need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn options(&self) -> Options {
        Options { lock_timeout: Duration::ZERO, ..Options::new(&self.dir) }
    }
}

impl Maintenance for Folder {
    fn exists(&self) -> io::Result<bool> {
        self.dir.join(DATA_FILE).try_exists()
    }

    fn fsck(&self) -> Result<FsckReport, OpenError> {
        fsck(&self.options())
    }

    fn open_read_only(&self) -> Result<Opened, OpenError> {
        Embedded::open_read_only(self.options()).map(Opened::from)
    }

    fn salvage(&self) -> Result<Arc<dyn Backup>, OpenError> {
        Ok(Arc::new(Salvage::open(&self.options())?))
    }

    fn defrag(&self) -> Result<DefragReport, OpenError> {
        defrag(&self.options())
    }

    fn reserve_place(&self) -> Result<Box<dyn NewPlace>, OpenError> {
        Ok(Box::new(NewFolder::reserve(&self.dir)?))
    }

    fn restore(
        &self,
        backup: &mut dyn Read,
        options: RestoreOptions,
    ) -> Result<Restored, RestoreError> {
        restore(ArchiveReader::begin(BufReader::new(backup))?, &self.dir, options)
    }
}
