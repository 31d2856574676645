//! Reads of single entries on behalf of a request.

use crate::meta::Status;
use crate::registry::storage_errors::status_of;
use crate::registry::workload::Workload;
use crate::store::{Entry, Key, Lookup, Store};

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
    loop {
        let stored = match store.get(key, None).await.map_err(|error| status_of(&error))? {
            Lookup::Found(entry) if load.fits(held + entry.value.len()) => return Ok(Some(entry)),
            Lookup::Found(entry) => held + entry.value.len(),
            Lookup::Missing | Lookup::Unchanged => return Ok(None),
        };
        load.reserve(stored).await?;
    }
}
