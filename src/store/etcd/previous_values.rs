//! The values that the events of the feed's watch replace.
//!
//! etcd could send them, but it would read and send one for each event. Most of them are in memory:
//! the feed has delivered them itself, or a write of this replica has read them.

use std::collections::{HashMap, HashSet};

use etcd_client::{EventType, GetOptions, WatchResponse};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::store::{Entry, Key};

use super::error::CallError;
use super::feed::Feed;
use super::layout::{Layout, StoredKey};
use super::members::Members;
use super::request::entry;

/// Values that are read from etcd at a time.
const CONCURRENT_READS: usize = 16;

/// The entries before the first change of each key in a response.
///
/// # Errors
/// `Compacted` if etcd does not have such an entry any more.
pub(super) async fn previous_values(
    members: &Members,
    layout: &Layout,
    feed: &Feed,
    response: &WatchResponse,
) -> Result<HashMap<Key, Entry>, CallError> {
    let (mut known, mut unknown, mut seen) = (HashMap::new(), Vec::new(), HashSet::new());
    for event in response.events() {
        let Some(kv) = event.kv() else { continue };
        let replaces = event.event_type() == EventType::Delete || kv.version() > 1;
        let StoredKey::Data(key) = layout.read(kv.key()) else { continue };
        if !seen.insert(kv.key()) || !replaces {
            continue;
        }
        let key = Key::new(key);
        match feed.applied(&key) {
            Some(entry) => drop(known.insert(key, entry)),
            None => unknown.push((key, kv.mod_revision() - 1)),
        }
    }
    let reads = unknown.into_iter().map(|(key, at)| read(members, layout, key, at));
    let read: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
    known.extend(read.into_iter().map(|entry| (entry.key.clone(), entry)));
    Ok(known)
}

/// Reads a key that has a value at a revision of etcd.
async fn read(members: &Members, layout: &Layout, key: Key, at: i64) -> Result<Entry, CallError> {
    let (place, options) = (layout.data(&key), GetOptions::new().with_revision(at));
    let found = members.call(|mut clients| {
        let (place, options) = (place.clone(), options.clone());
        async move { clients.kv.get(place, Some(options)).await }
    });
    let found = found.await?;
    let kv = found.kvs().first();
    let missing = || CallError::other(format!("etcd has no value of {key} at revision {at}"));
    kv.map(|kv| entry(&key, kv)).ok_or_else(missing)
}
