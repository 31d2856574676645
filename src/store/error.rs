//! What can go wrong in a store, for every implementation. The errors of opening belong to the implementations.

use std::error::Error;
use std::sync::Arc;

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
