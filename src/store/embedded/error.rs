//! Errors: conversion of redb errors and panics to [`StoreError`], and the causes for which a store
//! stops for good.

use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::store::{OpenError, Revision, StoreError};

/// The cause for which an open store has stopped for good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// The file failed, and opening it again failed too.
    #[error("{} failed ({cause}) and could not be opened again: {source}", path.display())]
    NotReopened {
        /// The data file.
        path: PathBuf,
        /// The first failure.
        cause: String,
        /// The failure of opening.
        source: OpenError,
    },
    /// The file failed soon after it was opened again.
    #[error(
        "{} failed ({cause}), {after:?} after it was opened again because of a failure: \
         check the volume and the kernel's log, then start the server again",
        path.display()
    )]
    Again {
        /// The data file.
        path: PathBuf,
        /// The second failure.
        cause: String,
        /// Time since the file was opened again.
        after: Duration,
    },
    /// The reopened file lacks acknowledged commits.
    #[error(
        "{} failed ({cause}) and has lost the commits after revision {found} up to {acknowledged}: \
         keep a copy of the file and restore a backup",
        path.display()
    )]
    Lost {
        /// The data file.
        path: PathBuf,
        /// The first failure.
        cause: String,
        /// The latest revision that was acknowledged.
        acknowledged: Revision,
        /// The latest revision in the file.
        found: Revision,
    },
}

/// Converts an error of redb.
pub(super) fn store_error(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(reason) => StoreError::Corrupt { reason },
        redb::Error::DatabaseClosed => StoreError::Closed,
        other => StoreError::Unavailable(Arc::new(other)),
    }
}

/// Converts a panic of redb.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<&str>().copied();
    let text =
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let reason = format!("the database panicked: {text}");
    if text.contains("PoisonError") {
        // A consequence of an earlier panic; the redb handle fails from now on.
        return StoreError::Unavailable(Arc::new(io::Error::other(reason)));
    }
    StoreError::Corrupt { reason }
}

/// The error for a row with a wrong checksum.
pub(super) fn damaged_row(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("the checksum of {what} does not match") }
}
