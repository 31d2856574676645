//! Errors of a store, of a watch and of opening, for every backend.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Account, AccountUsage, Key, Revision};

/// An error of [`super::Store`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The revision is compacted: list again.
    #[error("revision {requested} is compacted, the oldest that can be read is {compacted}")]
    Compacted {
        /// The requested revision.
        requested: Revision,
        /// The oldest revision that can be read.
        compacted: Revision,
    },
    /// The revision does not exist yet.
    #[error("revision {requested} does not exist yet, the latest is {current}")]
    Future {
        /// The requested revision.
        requested: Revision,
        /// The latest revision.
        current: Revision,
    },
    /// The transaction is not valid and never will be.
    #[error("not a storable transaction: {reason}")]
    Invalid {
        /// The violated rule.
        reason: String,
    },
    /// The transaction exceeds a limit of the backend.
    #[error("the transaction is too large: {reason}")]
    TooLarge {
        /// The limit, and a remedy.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left: {reason}")]
    Full {
        /// The limit that was reached.
        reason: String,
    },
    /// The account of the transaction has reached the limit of the store.
    #[error("{account} has {} bytes and needs {needed} more, the most is {limit}", usage.total())]
    AccountFull {
        /// The account.
        account: Account,
        /// Its usage.
        usage: AccountUsage,
        /// The bytes by which the transaction would raise it.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The term of the transaction is over: another replica may be elected.
    #[error("the term of this replica for {work} is over")]
    TermOver {
        /// The work of the term.
        work: &'static str,
    },
    /// The checksum of a stored value does not match.
    #[error("the value of {key} written by revision {revision} is damaged")]
    Damaged {
        /// The key of the value.
        key: Key,
        /// The revision that wrote it.
        revision: Revision,
    },
    /// The structure around the values is damaged: a checksum of the index, or pages of the file.
    #[error("the store is damaged: {reason}")]
    Corrupt {
        /// The damage.
        reason: String,
    },
    /// The store cannot be reached. Nothing was changed.
    #[error("the store cannot be reached: {0}")]
    Unreachable(#[source] Arc<dyn Error + Send + Sync>),
    /// The store stopped after a failure.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The store did not confirm a transaction, which may have been applied or not.
    #[error("the store has not confirmed the write: {0}")]
    OutcomeUnknown(#[source] Arc<dyn Error + Send + Sync>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// An error that ends a watch.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The changes after the revision are compacted: list again.
    #[error(
        "revision {requested} is compacted, the oldest that can be watched from is {compacted}"
    )]
    Compacted {
        /// The revision up to which changes were delivered.
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
            StoreError::Compacted { requested, compacted } => {
                Self::Compacted { requested, compacted }
            }
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
    /// The options of the backend are not valid.
    #[error("{reason}")]
    Options {
        /// The option, the reason and the remedy.
        reason: String,
    },
    /// The store cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] StoreError),
    /// Another process holds the folder.
    #[error(
        "{} is still in use by another process after {waited:?}: stop the other server, raise --data-dir-lock-timeout, or use --storage-backend=etcd3 for several replicas",
        dir.display()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The time of waiting.
        waited: Duration,
    },
    /// The folder or a file in it cannot be created or written.
    #[error(
        "cannot write {}: {source}; mount the volume writable, with room, and owned by the user of this process",
        path.display()
    )]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The data file exists and cannot be read.
    #[error("cannot read {}: {source}; check the volume, and the owner and mode of the file", path.display())]
    NotReadable {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder has no data file, and the caller requires one.
    #[error("there is no store in {}: name the folder that the server's --data-dir names", path.parent().unwrap_or(path).display())]
    Missing {
        /// The data file.
        path: PathBuf,
    },
    /// The data file has no content. It is never initialised: it may be the rest of lost data.
    #[error("{} is an empty file: restore it from a backup, or remove it to start with an empty store", path.display())]
    Empty {
        /// The data file.
        path: PathBuf,
    },
    /// Another program wrote the data file.
    #[error("{} is not a store of this server: point --data-dir at another folder, or move the file away", path.display())]
    Foreign {
        /// The data file.
        path: PathBuf,
    },
    /// A newer version of this program wrote the data file.
    #[error(
        "{} has format {found}, version {} of this program reads formats up to {supported}: run the version that wrote it, or \
         go back with `store restore` of a backup from before the upgrade, into another --data-dir",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The data file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this version reads.
        supported: u64,
    },
    /// The data file is damaged. redb may have tried to repair it.
    #[error("{} is damaged: {reason}; keep a copy of the file and restore a backup, or save the rest with `store export --skip-damaged` and import it into another folder", path.display())]
    Corrupt {
        /// The data file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
}
