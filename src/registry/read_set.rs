//! The entries that a transaction read, which guard its commit.

use std::collections::BTreeMap;

use crate::meta::Status;
use crate::registry::read::{self, ReadEntry};
use crate::registry::storage_errors::status_of;
use crate::registry::workload::Workload;
use crate::store::{Change, Current, Entry, Guard, Key, Lookup, ReadPoint, Store, StoreError};

/// The entries that a transaction read, which guard its commit. A stream with tags from other
/// streams can read thousands of keys.
///
/// Entries that the store has in memory may be outdated. The guards find that out if the
/// transaction is committed; other decisions need a confirmation first. As `origStateIsCurrent`
/// in k8s.io/apiserver/pkg/storage/etcd3/store.go.
#[derive(Debug, Default)]
pub struct ReadSet {
    entries: BTreeMap<Key, ReadEntry>,
    /// The keys of entries that may be outdated.
    unconfirmed: Vec<Key>,
}

/// The result of reading entries again that may have been outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// All entries are current.
    Current,
    /// Some entries were outdated. The read set has the current ones.
    Changed,
}

impl ReadSet {
    /// The entry of a key; none if the key has no value or was not read.
    ///
    /// # Errors
    /// 500 if the value is damaged.
    pub fn entry(&self, key: &Key) -> Result<Option<&Entry>, Status> {
        match self.entries.get(key) {
            None | Some(ReadEntry::Missing) => Ok(None),
            Some(ReadEntry::Found(entry)) => Ok(Some(entry)),
            Some(ReadEntry::Damaged(revision)) => {
                Err(status_of(&StoreError::Damaged { key: key.clone(), revision: *revision }))
            }
        }
    }

    /// Returns true if a key was read.
    pub fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Reads further keys, from memory if the store has them there.
    ///
    /// # Errors
    /// 422 if their values take more than `room` bytes together, and store failures.
    pub(super) async fn read(
        &mut self,
        store: &dyn Store,
        load: &Workload,
        keys: &[Key],
        room: usize,
    ) -> Result<(), Status> {
        let before = self.bytes();
        let mut held = before;
        for key in keys {
            if self.contains(key) {
                continue;
            }
            let entry = match read::cached(store, load, key, held) {
                Some(entry) => {
                    self.unconfirmed.push(key.clone());
                    entry
                }
                None => read::read_possibly_damaged(store, load, key, held).await?,
            };
            held += entry.bytes();
            self.entries.insert(key.clone(), entry);
            if held - before > room {
                return Err(reads_too_much(room));
            }
        }
        Ok(())
    }

    /// Reads the entries again that may be outdated.
    ///
    /// # Errors
    /// 429 if the memory is used up, and store failures.
    pub(super) async fn confirm(
        &mut self,
        store: &dyn Store,
        load: &Workload,
    ) -> Result<Confirmation, Status> {
        let (mut confirmation, point) = (Confirmation::Current, ReadPoint::default());
        for key in std::mem::take(&mut self.unconfirmed) {
            let Some(before) = self.entries.get(&key) else { continue };
            let known = before.revision();
            match store.get_since(&key, known, &point).await {
                Ok(Lookup::Unchanged) => continue,
                Ok(Lookup::Missing) if known.is_none() => continue,
                Ok(_) | Err(StoreError::Damaged { .. }) => {}
                Err(error) => return Err(status_of(&error)),
            }
            self.entries.remove(&key);
            // Within the memory of the request, which the new value may exceed.
            let entry = read::read_possibly_damaged(store, load, &key, self.bytes()).await?;
            self.entries.insert(key, entry);
            confirmation = Confirmation::Changed;
        }
        Ok(confirmation)
    }

    /// The size of all values, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.values().map(ReadEntry::bytes).sum()
    }

    /// Removes keys that a transaction of this read set has written. Returns those that were read.
    pub(super) fn committed(&mut self, keys: Vec<Key>) -> Vec<Key> {
        // All guards held.
        self.unconfirmed.clear();
        keys.into_iter().filter(|key| self.entries.remove(key).is_some()).collect()
    }

    /// Takes over the current states of the guards that failed. All others held.
    pub(super) fn refused(&mut self, current: Vec<Current>) {
        self.unconfirmed.clear();
        for Current { key, entry } in current {
            *self.entries.get_mut(&key).expect("the store returns only guarded keys") =
                entry.into();
        }
    }

    /// The size of the values that changes replace, of those that were read.
    pub(super) fn replaced_bytes(&self, changes: &[Change]) -> u64 {
        let replaced = changes.iter().filter_map(|change| self.entries.get(change.key()));
        replaced.map(|entry| entry.bytes() as u64).sum()
    }

    pub(super) fn guards(&self) -> Vec<Guard> {
        let guard = |(key, entry): (&Key, &ReadEntry)| match entry.revision() {
            None => Guard::Absent(key.clone()),
            Some(revision) => Guard::Unchanged(key.clone(), revision),
        };
        self.entries.iter().map(guard).collect()
    }
}

fn reads_too_much(room: usize) -> Status {
    let text = format!(
        "the other objects that this write refers to take more than {room} bytes together: split it into several writes"
    );
    Status::failure(422, "Invalid", text)
}

#[cfg(test)]
mod tests;
