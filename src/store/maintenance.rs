//! Maintenance of a data folder while no server uses it: check, defragmentation, restore.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{ArchiveError, ArchiveSummary, Backup, FileSize, OpenError, Opened, Revision};

/// Offline maintenance of a data folder. Every method blocks, and fails with [`OpenError::InUse`]
/// while another process holds the folder.
pub trait Maintenance: Send + Sync {
    /// Returns true if the folder holds a store.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn exists(&self) -> io::Result<bool>;

    /// Verifies every row of an existing store and the agreement of the rows. Changes nothing.
    ///
    /// # Errors
    /// The store cannot be opened.
    fn fsck(&self) -> Result<FsckReport, OpenError>;

    /// Opens an existing store. Writes stay in memory; the data file does not change.
    ///
    /// # Errors
    /// The store cannot be opened.
    fn open_read_only(&self) -> Result<Opened, OpenError>;

    /// Opens a store with a damaged structure, which cannot be opened otherwise, for a backup of all
    /// that can still be reached. The data file does not change.
    ///
    /// # Errors
    /// The store cannot be opened at all.
    fn salvage(&self) -> Result<Arc<dyn Backup>, OpenError>;

    /// Returns unused pages of the data file of an existing store to the file system. Can be
    /// interrupted at any moment; keeps everything that is stored, past revisions included.
    ///
    /// # Errors
    /// The store cannot be opened or written.
    fn defrag(&self) -> Result<DefragReport, OpenError>;

    /// Reserves the place of a store in a folder without one, for a store that appears there when it
    /// is complete.
    ///
    /// # Errors
    /// The folder is in use, has a store, or cannot be written.
    fn reserve_place(&self) -> Result<Box<dyn NewPlace>, OpenError>;

    /// Creates a store from a backup, in a folder without one.
    ///
    /// # Errors
    /// The backup is not valid, or the folder is in use or cannot be written. No store is
    /// created then.
    fn restore(
        &self,
        backup: &mut dyn Read,
        options: RestoreOptions,
    ) -> Result<Restored, RestoreError>;
}

/// A reserved place of a new store. Unless it is filled, everything in it is removed on drop.
pub trait NewPlace: Send {
    /// The folder in which to make the store.
    fn path(&self) -> &Path;

    /// Puts the complete store, which must be closed, in its place.
    ///
    /// # Errors
    /// The folder cannot be written.
    fn fill(self: Box<Self>) -> Result<(), OpenError>;
}

/// The result of [`Maintenance::fsck`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// The latest revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compacted: Revision,
    /// The number of keys that have a value.
    pub keys: u64,
    /// The number of stored values, replaced ones included.
    pub values: u64,
    /// The bytes of all these values.
    pub bytes: u64,
    /// The number of changes in the log.
    pub changes: u64,
    /// The use of the file, if no problem was found.
    pub space: SpaceUse,
    /// The problems found.
    pub problems: Problems,
}

/// The bytes of a data file by their use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceUse {
    /// Stored forms of the latest values, by resource: the second part of a key, such as `images`.
    pub latest: BTreeMap<String, u64>,
    /// Stored forms of replaced values, by resource.
    pub replaced: BTreeMap<String, u64>,
    /// The log, the index, and the keys of values.
    pub index: u64,
    /// Branches, and the parts of pages that are not used.
    pub overhead: u64,
    /// Free pages, and the tables of redb itself.
    pub free: u64,
}

/// Problems, one sentence each. Keeps the first 20 and counts the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first problems.
    pub first: Vec<String>,
    /// The number of problems.
    pub total: u64,
}

impl Problems {
    const KEPT: usize = 20;

    /// Adds a problem.
    pub fn add(&mut self, problem: impl ToString) {
        self.total += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(problem.to_string());
        }
    }
}

/// The size of the data file before and after [`Maintenance::defrag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefragReport {
    /// The size before.
    pub before: FileSize,
    /// The size after.
    pub after: FileSize,
}

/// Parameters of [`Maintenance::restore`].
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// The current time.
    pub now: SystemTime,
    /// The highest revision that clients of the old store are known to have seen; 0 if unknown.
    pub seen: Revision,
}

/// The result of [`Maintenance::restore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The contents of the backup.
    pub backup: ArchiveSummary,
    /// The first revision of the new store; all revisions below count as compacted.
    pub begins: Revision,
}

/// An error of [`Maintenance::restore`].
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder holds a store already.
    #[error(
        "{} exists already: a backup can be restored only into a folder without a store; \
         move the file away, or name another folder",
        path.display()
    )]
    Occupied {
        /// The data file.
        path: PathBuf,
    },
    /// The backup is not valid.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The folder is in use, or cannot be read or written.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The data file differs from the backup when it is read back.
    #[error("{} cannot be read back as it was written: {problem}; check the disk", dir.display())]
    NotReadBack {
        /// The folder.
        dir: PathBuf,
        /// The first difference.
        problem: String,
    },
    /// Revisions above all that clients have seen do not fit into a signed 64-bit number.
    #[error("no revisions are left after {after}: check the clock and --seen-resource-version")]
    Exhausted {
        /// The revision at which the store would begin.
        after: Revision,
    },
}
