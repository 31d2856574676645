//! The only optimistic loop: read, decide, commit under guards, and go round again with what a refusal hands back.

use std::collections::BTreeMap;

use crate::meta::Status;
use crate::registry::pool::Workload;
use crate::registry::read;
use crate::registry::storage_errors::status_of;
use crate::store::{Change, Entry, Guard, Key, Outcome, Revision, Store, Txn};

/// What is to be done with what was read.
#[derive(Debug)]
pub enum Decision<R> {
    /// Nothing is written.
    Keep(R),
    /// The changes are made, if nothing that was read has changed meanwhile.
    Write(Vec<Change>, R),
    /// It cannot be said before these keys are read, too.
    Read(Vec<Key>),
}

/// The result of a decision.
#[derive(Debug)]
pub enum Done<R> {
    /// Nothing was written.
    Kept(R),
    /// The changes were made at this revision.
    Committed(R, Revision),
}

/// What was read. A stream whose tags come from other streams can make it read thousands of keys.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<Key, Option<Entry>>);

impl Seen {
    /// The entry of a key; none where it has no value, or was not read.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.0.get(key).and_then(Option::as_ref)
    }

    /// Whether a key was read.
    pub fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// Reads keys, whose values may have `room` bytes together.
    async fn read(&mut self, store: &dyn Store, load: &Workload, keys: &[Key], room: usize) -> Result<(), Status> {
        let before = self.bytes();
        let mut held = before;
        for key in keys {
            if self.has(key) {
                continue;
            }
            let entry = read::entry(store, load, key, held).await?;
            held += entry.as_ref().map_or(0, |entry| entry.value.len());
            self.0.insert(key.clone(), entry);
            if held - before > room {
                return Err(too_much(room));
            }
        }
        Ok(())
    }

    /// The size of all values.
    fn bytes(&self) -> usize {
        self.0.values().flatten().map(|entry| entry.value.len()).sum()
    }

    fn replace(&mut self, now: &Key, entry: Option<Entry>) {
        *self.0.get_mut(now).expect("only keys with a guard are handed back") = entry;
    }

    fn guards(&self) -> Vec<Guard> {
        let guard = |(key, entry): (&Key, &Option<Entry>)| match entry {
            None => Guard::Absent(key.clone()),
            Some(entry) => Guard::Unchanged(key.clone(), entry.revision),
        };
        self.0.iter().map(guard).collect()
    }
}

/// Reads the keys and does what `decide` makes of them, in one transaction that fails if any of what was read changes.
///
/// `decide` is pure and may be called again and again, each time with what is there now. The loop ends since each refusal
/// means that somebody else got through, and since each key is read once only; the deadline of the request bounds it.
/// Decisions about large values are made with a place of the pool.
///
/// # Errors
/// What `decide` refuses, 422 where it has too much read, and failures of the store.
pub async fn guaranteed_update<R>(
    store: &dyn Store,
    load: &Workload,
    keys: &[Key],
    mut decide: impl FnMut(&Seen) -> Result<Decision<R>, Status>,
) -> Result<Done<R>, Status> {
    let mut seen = Seen::default();
    seen.read(store, load, keys, usize::MAX).await?;
    loop {
        // Values may have grown since they were read first.
        if !load.fits(seen.bytes()) {
            load.take_place().await;
        }
        let (changes, result) = match decide(&seen)? {
            Decision::Keep(result) => return Ok(Done::Kept(result)),
            Decision::Read(more) => {
                seen.read(store, load, &more, MOST_OTHERS).await?;
                continue;
            }
            Decision::Write(changes, result) => (changes, result),
        };
        let txn = Txn { guards: seen.guards(), changes };
        match store.commit(txn).await.map_err(|error| status_of(&error))? {
            Outcome::Committed(revision) => return Ok(Done::Committed(result, revision)),
            Outcome::Refused(current) => current.into_iter().for_each(|now| seen.replace(&now.key, now.entry)),
        }
    }
}

/// Bytes of other objects that one write may have read, in a round. Decoded, they take some ten times as much memory.
const MOST_OTHERS: usize = 16 << 20;

fn too_much(room: usize) -> Status {
    let text = format!(
        "the other objects that this write refers to take more than {room} bytes together: split it into several writes"
    );
    Status::failure(422, "Invalid", text)
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use tokio::task::block_in_place;

    use super::*;
    use crate::store::embedded::{Embedded, Options};

    fn put(key: &Key, value: &'static str) -> Change {
        Change::Put(key.clone(), value.into())
    }

    /// What somebody else writes while a decision is made.
    fn meanwhile(store: &Embedded, change: Change) {
        let txn = Txn { guards: vec![], changes: vec![change] };
        block_in_place(|| Handle::current().block_on(store.commit(txn))).unwrap();
    }

    fn text(seen: &Seen, key: &Key) -> String {
        seen.entry(key).map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_read_on_the_way_is_guarded_like_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(Options::new(folder.path())).unwrap();
        let [own, other] = ["/own", "/other"].map(Key::new);
        meanwhile(&store, put(&other, "1"));
        let mut seen_of_other = Vec::new();
        let decide = |seen: &Seen| {
            if !seen.has(&other) {
                return Ok(Decision::Read(vec![other.clone()]));
            }
            seen_of_other.push(text(seen, &other));
            if seen_of_other.len() == 1 {
                meanwhile(&store, put(&other, "2"));
            }
            Ok(Decision::Write(vec![put(&own, "x")], ()))
        };
        let done = guaranteed_update(&store, &Workload::default(), std::slice::from_ref(&own), decide).await.unwrap();
        assert!(matches!(done, Done::Committed((), _)));
        assert_eq!(seen_of_other, ["1", "2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_decision_is_made_again_until_nobody_comes_between() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(Options::new(folder.path())).unwrap();
        let key = Key::new("/key");
        let mut attempts = 0;
        let decide = |seen: &Seen| {
            attempts += 1;
            match attempts {
                1 => meanwhile(&store, put(&key, "made")),
                2 => meanwhile(&store, Change::Delete(key.clone())),
                _ => {}
            }
            Ok(Decision::Write(vec![put(&key, "x")], text(seen, &key)))
        };
        let done = guaranteed_update(&store, &Workload::default(), std::slice::from_ref(&key), decide).await.unwrap();
        assert!(matches!(done, Done::Committed(before, _) if before.is_empty()));
        assert_eq!(attempts, 3);
    }
}
