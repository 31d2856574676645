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

/// What was read.
#[derive(Debug, Default)]
pub struct Seen(Vec<(Key, Option<Entry>)>);

impl Seen {
    /// The entry of a key; none where it has no value, or was not read.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.0.iter().find(|(read, _)| read == key).and_then(|(_, entry)| entry.as_ref())
    }

    /// Whether a key was read.
    pub fn has(&self, key: &Key) -> bool {
        self.0.iter().any(|(read, _)| read == key)
    }

    async fn read(&mut self, store: &dyn Store, keys: &[Key]) -> Result<(), Status> {
        for key in keys {
            if self.has(key) {
                continue;
            }
            let entry = match store.get(key, None).await.map_err(|error| status_of(&error))? {
                Lookup::Found(entry) => Some(entry),
                Lookup::Missing | Lookup::Unchanged => None,
            };
            self.0.push((key.clone(), entry));
        }
        Ok(())
    }

    fn replace(&mut self, now: &Key, entry: Option<Entry>) {
        let row = self.0.iter_mut().find(|(key, _)| key == now);
        row.expect("only keys with a guard are handed back").1 = entry;
    }

    fn guards(&self) -> Vec<Guard> {
        let guard = |(key, entry): &(Key, Option<Entry>)| match entry {
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
///
/// # Errors
/// What `decide` refuses, and failures of the store.
pub async fn transact<R>(
    store: &dyn Store,
    keys: &[Key],
    mut decide: impl FnMut(&Seen) -> Result<Decision<R>, Status>,
) -> Result<Done<R>, Status> {
    let mut seen = Seen::default();
    seen.read(store, keys).await?;
    loop {
        let (changes, result) = match decide(&seen)? {
            Decision::Keep(result) => return Ok(Done::Kept(result)),
            Decision::Read(more) => {
                seen.read(store, &more).await?;
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
        let done = transact(&store, std::slice::from_ref(&own), decide).await.unwrap();
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
        let done = transact(&store, std::slice::from_ref(&key), decide).await.unwrap();
        assert!(matches!(done, Done::Committed(before, _) if before.is_empty()));
        assert_eq!(attempts, 3);
    }
}
