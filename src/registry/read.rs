//! Reading one entry of the store on behalf of a request.

use crate::meta::Status;
use crate::registry::pool::Workload;
use crate::registry::storage_errors::status_of;
use crate::store::{Entry, Key, Lookup, Store};

/// The entry of a key, for a request that holds `held` bytes of other entries.
///
/// An entry that makes the request large is let go and read again with a place, so that those who wait hold none.
///
/// # Errors
/// Failures of the store.
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
