//! What can go wrong in a store, for every implementation. The errors of opening belong to the implementations.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Key, Revision};

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The revision has been forgotten: list again.
    #[error("revision {requested} is compacted, the oldest that can be read is {compacted}")]
    Compacted {
        /// What the caller asked for.
        requested: Revision,
        /// The oldest revision that can be read.
        compacted: Revision,
    },
    /// The revision does not exist yet.
    #[error("revision {requested} does not exist yet, the latest is {current}")]
    Future {
        /// What the caller asked for.
        requested: Revision,
        /// The latest revision.
        current: Revision,
    },
    /// The transaction cannot be stored by any means.
    #[error("not a storable transaction: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room for more.
    #[error("no space left: {reason}")]
    Full {
        /// What ran out.
        reason: String,
    },
    /// A stored value is not what was written: its checksum does not match.
    #[error("the value of {key} written by revision {revision} is damaged")]
    Damaged {
        /// The key of the value.
        key: Key,
        /// The revision that wrote it.
        revision: Revision,
    },
    /// The structure around the values is damaged.
    #[error("the store is damaged: {reason}")]
    Corrupt {
        /// What was found.
        reason: String,
    },
    /// The store cannot be reached, or it stopped after a failure.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a watch ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// What follows the revision has been forgotten: list again.
    #[error("revision {requested} is compacted, the oldest that can be watched from is {compacted}")]
    Compacted {
        /// Everything up to here was delivered.
        requested: Revision,
        /// The oldest revision that can be watched from.
        compacted: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<StoreError> for WatchError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Compacted { requested, compacted } => Self::Compacted { requested, compacted },
            StoreError::Closed => Self::Closed,
            other => Self::Store(other),
        }
    }
}

/// An error of opening a store. The data file is unchanged unless a variant states otherwise. Every
/// message names the path, the reason and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the folder.
    #[error(
        "{} is still in use by another process after {waited:?}: stop the other server, or raise --data-dir-lock-timeout",
        dir.display()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The folder or a file in it cannot be made or written.
    #[error(
        "cannot write {}: {source}; mount the volume writable, with room, and owned by the user of this process",
        path.display()
    )]
    NotWritable {
        /// What cannot be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The data file is there and cannot be read.
    #[error("cannot read {}: {source}; check the volume, and the owner and mode of the file", path.display())]
    NotReadable {
        /// What cannot be read.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is no data file, and none was to be made.
    #[error("there is no store in {}: name the folder that the server's --data-dir names", path.parent().unwrap_or(path).display())]
    Missing {
        /// The data file.
        path: PathBuf,
    },
    /// The data file has no content. It is never filled in, since it may be what is left of lost data.
    #[error("{} is an empty file: restore it from a backup, or remove it to start with an empty store", path.display())]
    Empty {
        /// The data file.
        path: PathBuf,
    },
    /// The data file was written by some other program.
    #[error("{} is not a store of this server: point --data-dir at another folder, or move the file away", path.display())]
    Foreign {
        /// The data file.
        path: PathBuf,
    },
    /// The data file was written by a newer version of this program.
    #[error(
        "{} has format {found}, this version reads format {supported}: run a newer version, or restore an older backup",
        path.display()
    )]
    Newer {
        /// The data file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads.
        supported: u64,
    },
    /// The data file is damaged. A repair may have been tried on it.
    #[error("{} is damaged: {reason}; keep a copy of the file and restore a backup", path.display())]
    Corrupt {
        /// The data file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}
