//! Reads of single entries on behalf of a request.

use crate::meta::Status;
use crate::registry::storage_errors::status_of;
use crate::registry::workload::Workload;
use crate::store::{Entry, Key, Lookup, Revision, Store, StoreError};

/// The value of a key as it was read.
#[derive(Debug)]
pub(crate) enum ReadEntry {
    /// The key has no value.
    Missing,
    /// The entry.
    Found(Entry),
    /// The value that this revision wrote is damaged.
    Damaged(Revision),
}

impl ReadEntry {
    /// The size of the value, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        if let Self::Found(entry) = self { entry.value.len() } else { 0 }
    }

    /// The revision of the value; none if there is none.
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Missing => None,
            Self::Found(Entry { revision, .. }) | Self::Damaged(revision) => Some(*revision),
        }
    }
}

impl From<Option<Entry>> for ReadEntry {
    fn from(entry: Option<Entry>) -> Self {
        entry.map_or(Self::Missing, Self::Found)
    }
}

/// The entry of a key that the store has in memory, which may be outdated; none if there is none, or
/// if a request that holds `held` bytes of other entries must reserve memory for it first.
pub(crate) fn cached(
    store: &dyn Store,
    load: &Workload,
    key: &Key,
    held: usize,
) -> Option<ReadEntry> {
    match store.get_cached(key)? {
        Lookup::Missing => Some(ReadEntry::Missing),
        Lookup::Found(entry) if load.fits(held + entry.value.len()) => {
            Some(ReadEntry::Found(entry))
        }
        Lookup::Found(_) | Lookup::Unchanged => None,
    }
}

/// Reads the entry of a key as [`read_entry`] does. A damaged value is no error.
///
/// # Errors
/// 429 if the memory is used up, and other store failures.
pub(crate) async fn read_possibly_damaged(
    store: &dyn Store,
    load: &Workload,
    key: &Key,
    held: usize,
) -> Result<ReadEntry, Status> {
    loop {
        let stored = match store.get(key, None).await {
            Ok(Lookup::Found(entry)) if load.fits(held + entry.value.len()) => {
                return Ok(ReadEntry::Found(entry));
            }
            Ok(Lookup::Found(entry)) => held + entry.value.len(),
            Ok(Lookup::Missing | Lookup::Unchanged) => return Ok(ReadEntry::Missing),
            Err(StoreError::Damaged { revision, .. }) => return Ok(ReadEntry::Damaged(revision)),
            Err(error) => return Err(status_of(&error)),
        };
        load.reserve(stored).await?;
    }
}

/// Reads the entry of a key for a request that holds `held` bytes of other entries.
///
/// An entry that needs more memory than the request has reserved is dropped and read again, so that
/// waiting requests hold no entries.
///
/// # Errors
/// 429 if the memory is used up, and store failures.
pub(crate) async fn read_entry(
    store: &dyn Store,
    load: &Workload,
    key: &Key,
    held: usize,
) -> Result<Option<Entry>, Status> {
    match read_possibly_damaged(store, load, key, held).await? {
        ReadEntry::Missing => Ok(None),
        ReadEntry::Found(entry) => Ok(Some(entry)),
        ReadEntry::Damaged(revision) => {
            Err(status_of(&StoreError::Damaged { key: key.clone(), revision }))
        }
    }
}
