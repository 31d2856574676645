//! Reads of single entries on behalf of a request.

use crate::meta::Status;
use crate::registry::pool::Workload;
use crate::registry::storage_errors::status_of;
use crate::store::{Entry, Key, Lookup, Store};

/// Reads the entry of a key for a request that holds `held` bytes of other entries.
///
/// An entry that makes the request large is dropped and read again in a slot of the pool, so that
/// waiting requests hold no entries.
///
/// # Errors
/// Store failures.
pub(crate) async fn read_entry(
    store: &dyn Store,
    load: &Workload,
    key: &Key,
    held: usize,
) -> Result<Option<Entry>, Status> {
    loop {
        match store.get(key, None).await.map_err(|error| status_of(&error))? {
            Lookup::Found(entry) if load.fits(held + entry.value.len()) => return Ok(Some(entry)),
            Lookup::Found(_) => {}
            Lookup::Missing | Lookup::Unchanged => return Ok(None),
        }
        load.acquire_slot().await;
    }
}
