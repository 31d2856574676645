//! The only optimistic loop: read, decide, commit under guards, and go round again with what a refusal hands back.

use super::failure::status_of;
use crate::meta::Status;
use crate::store::{Change, Entry, Guard, Key, Lookup, Outcome, Revision, Store, Txn};

/// What is to be done with what was read.
#[derive(Debug)]
pub enum Decision<R> {
    /// Nothing is written.
    Keep(R),
    /// The changes are made, if nothing that was read has changed meanwhile.
    Write(Vec<Change>, R),
}

/// The result of a decision.
#[derive(Debug)]
pub enum Done<R> {
    /// Nothing was written.
    Kept(R),
    /// The changes were made at this revision.
    Committed(R, Revision),
}

/// Reads the keys and does what `decide` makes of their entries, in one transaction that fails if any of them changes.
///
/// `decide` is pure and may be called again and again, each time with what is there now, one entry a key. The loop ends
/// since each refusal means that somebody else got through; the deadline of the request bounds it.
///
/// # Errors
/// What `decide` refuses, and failures of the store.
pub async fn transact<R>(
    store: &dyn Store,
    keys: &[Key],
    mut decide: impl FnMut(&[Option<Entry>]) -> Result<Decision<R>, Status>,
) -> Result<Done<R>, Status> {
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        entries.push(match store.get(key, None).await.map_err(|error| status_of(&error))? {
            Lookup::Found(entry) => Some(entry),
            Lookup::Missing | Lookup::Unchanged => None,
        });
    }
    loop {
        let (changes, result) = match decide(&entries)? {
            Decision::Keep(result) => return Ok(Done::Kept(result)),
            Decision::Write(changes, result) => (changes, result),
        };
        let guards = keys.iter().zip(&entries).map(|(key, entry)| guard(key, entry.as_ref())).collect();
        match store.commit(Txn { guards, changes }).await.map_err(|error| status_of(&error))? {
            Outcome::Committed(revision) => return Ok(Done::Committed(result, revision)),
            Outcome::Refused(current) => {
                for now in current {
                    let place = keys.iter().position(|key| *key == now.key);
                    entries[place.expect("only keys with a guard are handed back")] = now.entry;
                }
            }
        }
    }
}

fn guard(key: &Key, entry: Option<&Entry>) -> Guard {
    match entry {
        None => Guard::Absent(key.clone()),
        Some(entry) => Guard::Unchanged(key.clone(), entry.revision),
    }
}
