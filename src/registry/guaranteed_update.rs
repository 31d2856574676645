//! The only optimistic loop: read, decide, commit under guards, and go round again with what a refusal hands back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::actor::Actor;
use super::admission::{Admitted, Attributes, Chain};
use crate::meta::{GroupResource, Status};
use crate::registry::pool::Workload;
use crate::registry::read;
use crate::registry::storage_errors::status_of;
use crate::store::{Change, Entry, Guard, Key, Outcome, Revision, Store, Txn};

/// The next step of a transaction, decided from what was read.
pub enum Decision<R> {
    /// Nothing is written.
    Keep(R),
    /// The changes are committed if nothing that was read has changed in between.
    Write(Vec<ObjectChange>, R),
    /// These keys must be read, too.
    Read(Vec<Key>),
    /// The admission chain must run for this write.
    Admit(Box<Attributes>),
}

/// The change of one object: its own row, and the rows derived from it.
#[derive(Debug)]
pub struct ObjectChange {
    /// The resource.
    pub resource: GroupResource<'static>,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The effect on the object.
    pub effect: Effect,
    /// The rows to write.
    pub rows: Vec<Change>,
}

/// The effect of a write on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The object is new.
    Created,
    /// The object is replaced.
    Updated,
    /// The object equals the stored one.
    Unchanged,
    /// The object is removed.
    Deleted,
}

/// The store of all objects, with the admission chain of its writes.
pub struct Storage {
    store: Arc<dyn Store>,
    chain: Chain,
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

impl Storage {
    /// A store whose writes pass this chain.
    pub fn new(store: Arc<dyn Store>, chain: Chain) -> Self {
        Self { store, chain }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The admission chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Runs the admission chain for the create of a virtual object, whose write is an update of
    /// other objects.
    ///
    /// # Errors
    /// The Status of the plugin that refuses it.
    pub async fn admit_virtual(&self, attributes: &Attributes, actor: &Actor) -> Result<(), Status> {
        self.chain.admit(attributes, actor, &mut Admitted::default()).await
    }

    /// Reads the keys and commits what `decide` makes of them, in one transaction that fails if
    /// anything that was read has changed; as `GuaranteedUpdate` in
    /// k8s.io/apiserver/pkg/storage/interfaces.go, for several objects of several types.
    ///
    /// `decide` is pure. It runs again with the current rows after each conflict, and after each
    /// run of the admission chain. The loop ends since each conflict means that another write
    /// succeeded, and since each key is read once only; the deadline of the request bounds it.
    /// Decisions about large values are made with a place of the pool.
    ///
    /// # Errors
    /// Errors of `decide` and of the admission chain, 422 for a transaction that reads too much,
    /// and failures of the store.
    pub async fn guaranteed_update<R>(
        &self,
        actor: &Actor,
        keys: &[Key],
        mut decide: impl FnMut(&Seen, &Admitted) -> Result<Decision<R>, Status>,
    ) -> Result<Done<R>, Status> {
        let (store, load) = (&*self.store, &actor.load);
        let (mut seen, mut admitted) = (Seen::default(), Admitted::default());
        seen.read(store, load, keys, usize::MAX).await?;
        loop {
            // Values may have grown since they were read first.
            if !load.fits(seen.bytes()) {
                load.take_place().await;
            }
            let (changes, result) = match decide(&seen, &admitted)? {
                Decision::Keep(result) => return Ok(Done::Kept(result)),
                Decision::Read(more) => {
                    seen.read(store, load, &more, MOST_OTHERS).await?;
                    continue;
                }
                Decision::Admit(attributes) => {
                    self.chain.admit(&attributes, actor, &mut admitted).await?;
                    continue;
                }
                Decision::Write(changes, result) => (changes, result),
            };
            match self.commit(&seen, changes, &mut admitted).await? {
                Outcome::Committed(revision) => return Ok(Done::Committed(result, revision)),
                Outcome::Refused(current) => {
                    current.into_iter().for_each(|now| seen.replace(&now.key, now.entry));
                }
            }
        }
    }

    async fn commit(
        &self,
        seen: &Seen,
        mut changes: Vec<ObjectChange>,
        admitted: &mut Admitted,
    ) -> Result<Outcome, Status> {
        let rows = changes.iter_mut().flat_map(|change| std::mem::take(&mut change.rows)).collect();
        admitted.commit_begun();
        let txn = Txn { guards: seen.guards(), changes: rows };
        let outcome = self.store.commit(txn).await.map_err(|error| status_of(&error))?;
        match &outcome {
            Outcome::Committed(revision) => {
                admitted.committed(*revision);
                self.chain.committed(&changes, *revision);
            }
            Outcome::Refused(_) => admitted.commit_refused(),
        }
        Ok(outcome)
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
    use crate::meta::Time;
    use crate::store;

    fn put(key: &Key, value: &'static str) -> ObjectChange {
        ObjectChange {
            resource: GroupResource { group: "", name: "tests" },
            namespace: String::new(),
            effect: Effect::Updated,
            rows: vec![Change::Put(key.clone(), value.into())],
        }
    }

    fn storage(store: &Arc<dyn Store>, chain: Chain) -> Storage {
        Storage::new(store.clone(), chain)
    }

    fn actor() -> Actor {
        Actor::internal("test", Time::from_unix_seconds(0))
    }

    /// What somebody else writes while a decision is made.
    fn meanwhile(store: &dyn Store, change: Change) {
        let txn = Txn { guards: vec![], changes: vec![change] };
        block_in_place(|| Handle::current().block_on(store.commit(txn))).unwrap();
    }

    fn text(seen: &Seen, key: &Key) -> String {
        seen.entry(key).map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_read_on_the_way_is_guarded_like_the_rest() {
        let store = store::in_memory().unwrap().store;
        let [own, other] = ["/own", "/other"].map(Key::new);
        meanwhile(&*store, Change::Put(other.clone(), "1".into()));
        let mut seen_of_other = Vec::new();
        let decide = |seen: &Seen, _: &Admitted| {
            if !seen.has(&other) {
                return Ok(Decision::Read(vec![other.clone()]));
            }
            seen_of_other.push(text(seen, &other));
            if seen_of_other.len() == 1 {
                meanwhile(&*store, Change::Put(other.clone(), "2".into()));
            }
            Ok(Decision::Write(vec![put(&own, "x")], ()))
        };
        let done = storage(&store, Chain::default())
            .guaranteed_update(&actor(), std::slice::from_ref(&own), decide)
            .await
            .unwrap();
        assert!(matches!(done, Done::Committed((), _)));
        assert_eq!(seen_of_other, ["1", "2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_decision_is_made_again_until_nobody_comes_between() {
        let store = store::in_memory().unwrap().store;
        let key = Key::new("/key");
        let mut attempts = 0;
        let decide = |seen: &Seen, _: &Admitted| {
            attempts += 1;
            match attempts {
                1 => meanwhile(&*store, Change::Put(key.clone(), "made".into())),
                2 => meanwhile(&*store, Change::Delete(key.clone())),
                _ => {}
            }
            Ok(Decision::Write(vec![put(&key, "x")], text(seen, &key)))
        };
        let done = storage(&store, Chain::default())
            .guaranteed_update(&actor(), std::slice::from_ref(&key), decide)
            .await
            .unwrap();
        assert!(matches!(done, Done::Committed(before, _) if before.is_empty()));
        assert_eq!(attempts, 3);
    }
}
