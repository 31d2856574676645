//! The optimistic update loop of all writes: read, decide, commit under guards, retry on conflict.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::actor::Actor;
use super::admission::attributes::AdmissionStep;
use super::admission::chain::{AdmissionChain, Admitted};
use super::history_limit::HistoryLimiter;
use super::object_change::ObjectChange;
use super::read_set::{Confirmation, ReadSet};
use crate::cluster::Namespaces;
use crate::meta::Status;
use crate::registry::storage_errors::status_of;
use crate::store::{Change, Key, Outcome, Revision, Store, StoreError, Txn};

/// The next step of a transaction, decided from what was read.
pub enum UpdateDecision<R> {
    /// Nothing is written; the loop returns the value.
    Keep(R),
    /// The changes are committed unless an entry in the read set has changed.
    Write(Vec<ObjectChange>, R),
    /// The changes are committed in the same way, but before the others, which are too many for one
    /// transaction. The decision is made again with the new entries.
    WriteAhead(Vec<ObjectChange>),
    /// These keys must be read as well.
    Read(Vec<Key>),
    /// The admission chain must run for these writes.
    Admit(Vec<AdmissionStep>),
}

/// The store of all objects, with the admission chain of its writes.
pub struct Storage {
    store: Arc<dyn Store>,
    chain: AdmissionChain,
    history: Option<Arc<HistoryLimiter>>,
}

/// The result of the update loop.
#[derive(Debug)]
pub enum UpdateOutcome<R> {
    /// Nothing was written.
    Unchanged(R),
    /// The changes were committed at this revision.
    Committed(R, Revision),
}

/// The result of one step of the update loop.
enum UpdateStep<R> {
    /// The changes were committed at this revision.
    Committed(R, Revision),
    /// Nothing needs to be written.
    Kept(R),
    /// The decision is made again.
    Repeat,
}

/// The reason why a step of the update loop failed.
enum StepError {
    /// The entries do not allow the change. Nothing was changed, and other entries may allow it.
    Refused(Status),
    /// The transaction cannot go on.
    Failed(Status),
}

impl Storage {
    /// A store with the admission chain of its writes.
    pub fn new(store: Arc<dyn Store>, chain: AdmissionChain) -> Self {
        Self { store, chain, history: None }
    }

    /// Limits the bytes that each account writes.
    pub fn with_history_limiter(self, history: Option<Arc<HistoryLimiter>>) -> Self {
        Self { history, ..self }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The admission chain.
    pub fn chain(&self) -> &AdmissionChain {
        &self.chain
    }

    /// Reads the keys and commits the changes that `decide` returns, in one transaction that fails
    /// if any entry of the read set has changed; as `GuaranteedUpdate` in
    /// k8s.io/apiserver/pkg/storage/interfaces.go, for several objects of several types.
    ///
    /// `decide` is pure. It runs again with the current entries after each conflict and after each
    /// run of the admission chain. The first entries may be outdated ones from memory. The guards
    /// detect that; a decision that writes nothing counts only once they are known to be current. The
    /// loop terminates because each conflict means that another write succeeded, and because each
    /// key is read only once; the request deadline bounds it. Decisions on large values run in a slot
    /// of the pool.
    ///
    /// # Errors
    /// Errors of `decide` and of the admission chain, 422 for a transaction that reads too much,
    /// 429 beyond the limits of its account or if the memory is used up, and store failures.
    pub async fn guaranteed_update<R>(
        &self,
        actor: &Actor,
        keys: &[Key],
        decide: impl FnMut(&ReadSet, &Admitted) -> Result<UpdateDecision<R>, Status>,
    ) -> Result<UpdateOutcome<R>, Status> {
        let mut admitted = Admitted::none(actor.namespaces.clone());
        self.guaranteed_update_after(actor, keys, &mut admitted, decide).await
    }

    /// Like [`Storage::guaranteed_update`], for a transaction of which earlier runs of the loop
    /// admitted some writes.
    ///
    /// # Errors
    /// The errors of [`Storage::guaranteed_update`].
    pub async fn guaranteed_update_after<R>(
        &self,
        actor: &Actor,
        keys: &[Key],
        admitted: &mut Admitted,
        mut decide: impl FnMut(&ReadSet, &Admitted) -> Result<UpdateDecision<R>, Status>,
    ) -> Result<UpdateOutcome<R>, Status> {
        let (store, load, mut read_set) = (&*self.store, &actor.load, ReadSet::default());
        read_set.read(store, load, keys, usize::MAX).await?;
        loop {
            // Values may have grown since the last attempt.
            if !load.fits(read_set.bytes()) {
                load.reserve(read_set.bytes()).await?;
            }
            let stepped = match decide(&read_set, admitted) {
                Ok(decision) => self.step(actor, &mut read_set, admitted, decision).await,
                Err(refusal) => Err(StepError::Refused(refusal)),
            };
            let unchanged = match stepped {
                Ok(UpdateStep::Committed(result, revision)) => {
                    return Ok(UpdateOutcome::Committed(result, revision));
                }
                Err(StepError::Failed(status)) => return Err(status),
                Ok(UpdateStep::Repeat) => continue,
                Ok(UpdateStep::Kept(result)) => Ok(UpdateOutcome::Unchanged(result)),
                Err(StepError::Refused(status)) => Err(status),
            };
            // No guard has shown that the entries were current.
            if read_set.confirm(store, load).await? == Confirmation::Current {
                return unchanged;
            }
        }
    }

    /// Executes a decision.
    async fn step<R>(
        &self,
        actor: &Actor,
        read_set: &mut ReadSet,
        admitted: &mut Admitted,
        decision: UpdateDecision<R>,
    ) -> Result<UpdateStep<R>, StepError> {
        let (store, load) = (&*self.store, &actor.load);
        match decision {
            UpdateDecision::Keep(result) => return Ok(UpdateStep::Kept(result)),
            UpdateDecision::Read(more) => {
                let read = read_set.read(store, load, &more, MAX_READ_BYTES).await;
                read.map_err(StepError::Refused)?;
            }
            UpdateDecision::Admit(steps) => {
                for step in steps {
                    let run = self.chain.admit(step, actor, admitted).await;
                    run.map_err(StepError::Refused)?;
                }
            }
            UpdateDecision::WriteAhead(changes) => {
                self.write_ahead(actor, read_set, changes).await?
            }
            UpdateDecision::Write(changes, result) => {
                match self.commit(actor, read_set, changes, admitted).await? {
                    Outcome::Committed(revision) => {
                        return Ok(UpdateStep::Committed(result, revision));
                    }
                    Outcome::Refused(current) => read_set.refused(current),
                }
            }
        }
        Ok(UpdateStep::Repeat)
    }

    /// Commits changes that precede others, and reads their entries again. They were admitted, but
    /// the reservations belong to the write as a whole.
    async fn write_ahead(
        &self,
        actor: &Actor,
        read_set: &mut ReadSet,
        changes: Vec<ObjectChange>,
    ) -> Result<(), StepError> {
        let rows = changes.iter().flat_map(|change| &change.rows);
        let keys: Vec<Key> = rows.map(|row| row.key().clone()).collect();
        let mut admitted = Admitted::none(Namespaces::all());
        match self.commit(actor, read_set, changes, &mut admitted).await? {
            Outcome::Committed(_) => {
                let read = read_set.committed(keys);
                let again = read_set.read(&*self.store, &actor.load, &read, usize::MAX).await;
                again.map_err(StepError::Failed)
            }
            Outcome::Refused(current) => {
                read_set.refused(current);
                Ok(())
            }
        }
    }

    /// Commits the changes. They are charged to the account of the first one.
    async fn commit(
        &self,
        actor: &Actor,
        read_set: &ReadSet,
        mut changes: Vec<ObjectChange>,
        admitted: &mut Admitted,
    ) -> Result<Outcome, StepError> {
        let charge = changes.first().map(|change| change.charge.clone()).unwrap_or_default();
        let rows = distinct_rows(&mut changes);
        let (guards, term) = (read_set.guards(), actor.term.clone());
        let txn = Txn { guards, changes: rows, charge, term };
        let outcome = self.commit_within_limits(read_set, txn, admitted).await;
        match &outcome {
            Ok(Outcome::Committed(revision)) => {
                admitted.committed(*revision);
                self.chain.committed(&changes, *revision);
            }
            Ok(Outcome::Refused(_)) | Err(StepError::Refused(_)) => admitted.commit_refused(),
            Err(StepError::Failed(_)) => {}
        }
        outcome
    }

    /// Commits a transaction, and takes its bytes from the limits of its account if it is stored.
    async fn commit_within_limits(
        &self,
        read_set: &ReadSet,
        txn: Txn,
        admitted: &mut Admitted,
    ) -> Result<Outcome, StepError> {
        let Some(history) = &self.history else {
            admitted.commit_begun();
            return self.store.commit(txn).await.map_err(|error| StepError::of_commit(&error));
        };
        let charge = txn.charge.clone();
        let bytes = txn.changes.iter().map(Change::stored_bytes).sum();
        let replaced = read_set.replaced_bytes(&txn.changes);
        history.admit(&charge, bytes, Instant::now()).map_err(StepError::Refused)?;
        admitted.commit_begun();
        let outcome = self.store.commit(txn).await;
        let now = Instant::now();
        match &outcome {
            Ok(Outcome::Committed(_)) => history.record_replaced(&charge, replaced, now),
            Ok(Outcome::Refused(_))
            | Err(
                StoreError::Invalid { .. }
                | StoreError::TooLarge { .. }
                | StoreError::Full { .. }
                | StoreError::TermOver { .. }
                | StoreError::Unreachable(_),
            ) => history.refund(&charge, bytes, now),
            Err(StoreError::AccountFull { account, usage, needed, .. }) => {
                history.refund(&charge, bytes, now);
                let refusal = history.too_much(account, *usage, *needed, now);
                return Err(StepError::Refused(refusal));
            }
            // The transaction may have been stored.
            Err(_) => {}
        }
        outcome.map_err(|error| StepError::of_commit(&error))
    }
}

impl StepError {
    fn of_commit(error: &StoreError) -> Self {
        match error {
            StoreError::Invalid { .. } | StoreError::TooLarge { .. } | StoreError::Full { .. } => {
                Self::Refused(status_of(error))
            }
            _ => Self::Failed(status_of(error)),
        }
    }
}

/// Takes the rows of all changes. Several objects may write the same value of a row that they share.
fn distinct_rows(changes: &mut [ObjectChange]) -> Vec<Change> {
    let mut rows: Vec<Change> = Vec::new();
    let mut written: HashMap<Key, usize> = HashMap::new();
    for row in changes.iter_mut().flat_map(|change| std::mem::take(&mut change.rows)) {
        let earlier = written.get(row.key()).and_then(|at| rows.get(*at));
        if earlier != Some(&row) {
            written.insert(row.key().clone(), rows.len());
            rows.push(row);
        }
    }
    rows
}

/// The maximum size of further entries that one decision may read, in bytes. Decoded, they take
/// about ten times as much memory.
const MAX_READ_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use tokio::task::block_in_place;

    use super::*;
    use crate::meta::GroupResource;
    use crate::meta::Time;
    use crate::registry::object_change::WriteEffect;
    use crate::store::{self, Charge};

    fn put(key: &Key, value: &'static str) -> ObjectChange {
        ObjectChange {
            resource: GroupResource { group: "", name: "tests" },
            namespace: String::new(),
            effect: WriteEffect::Updated,
            rows: vec![Change::Put(key.clone(), value.into())],
            charge: Charge::Nobody,
        }
    }

    fn storage(store: &Arc<dyn Store>, chain: AdmissionChain) -> Storage {
        Storage::new(store.clone(), chain)
    }

    fn actor() -> Actor {
        Actor::internal("test", Time::from_unix_seconds(0))
    }

    /// Commits a change of another writer during an attempt.
    fn commit_conflicting(store: &dyn Store, change: Change) {
        let txn = Txn { guards: vec![], changes: vec![change], ..Txn::default() };
        block_in_place(|| Handle::current().block_on(store.commit(txn))).unwrap();
    }

    fn text(read_set: &ReadSet, key: &Key) -> String {
        read_set
            .entry(key)
            .unwrap()
            .map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
            .unwrap_or_default()
    }

    #[test]
    fn shared_row_of_several_objects_is_written_once() {
        let shared = Key::new("/shared");
        let mut changes = [put(&shared, "x"), put(&Key::new("/own"), "y"), put(&shared, "x")];
        assert_eq!(distinct_rows(&mut changes).len(), 2);
        let mut contradictions = [put(&shared, "x"), put(&shared, "z")];
        assert_eq!(distinct_rows(&mut contradictions).len(), 2, "the store refuses them");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_read_later_are_guarded_too() {
        let store = store::in_memory().unwrap().store;
        let [own, other] = ["/own", "/other"].map(Key::new);
        commit_conflicting(&*store, Change::Put(other.clone(), "1".into()));
        let mut seen_of_other = Vec::new();
        let decide = |read_set: &ReadSet, _: &Admitted| {
            if !read_set.contains(&other) {
                return Ok(UpdateDecision::Read(vec![other.clone()]));
            }
            seen_of_other.push(text(read_set, &other));
            if seen_of_other.len() == 1 {
                commit_conflicting(&*store, Change::Put(other.clone(), "2".into()));
            }
            Ok(UpdateDecision::Write(vec![put(&own, "x")], ()))
        };
        let done = storage(&store, AdmissionChain::default())
            .guaranteed_update(&actor(), std::slice::from_ref(&own), decide)
            .await
            .unwrap();
        assert!(matches!(done, UpdateOutcome::Committed((), _)));
        assert_eq!(seen_of_other, ["1", "2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_ahead_are_committed_and_read_again() {
        let store = store::in_memory().unwrap().store;
        let [own, other] = ["/own", "/other"].map(Key::new);
        let decide = |read_set: &ReadSet, _: &Admitted| {
            Ok(match read_set.entry(&other)? {
                None => UpdateDecision::WriteAhead(vec![put(&other, "ahead")]),
                Some(entry) => UpdateDecision::Write(vec![put(&own, "x")], entry.revision),
            })
        };
        let keys = [own.clone(), other.clone()];
        let storage = storage(&store, AdmissionChain::default());
        let done = storage.guaranteed_update(&actor(), &keys, decide).await.unwrap();
        let UpdateOutcome::Committed(ahead, revision) = done else { panic!("{done:?}") };
        assert!(ahead < revision, "two transactions");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn conflicting_decision_is_repeated_on_current_entries() {
        let store = store::in_memory().unwrap().store;
        let key = Key::new("/key");
        let mut attempts = 0;
        let decide = |read_set: &ReadSet, _: &Admitted| {
            attempts += 1;
            match attempts {
                1 => commit_conflicting(&*store, Change::Put(key.clone(), "made".into())),
                2 => commit_conflicting(&*store, Change::Delete(key.clone())),
                _ => {}
            }
            Ok(UpdateDecision::Write(vec![put(&key, "x")], text(read_set, &key)))
        };
        let done = storage(&store, AdmissionChain::default())
            .guaranteed_update(&actor(), std::slice::from_ref(&key), decide)
            .await
            .unwrap();
        assert!(matches!(done, UpdateOutcome::Committed(before, _) if before.is_empty()));
        assert_eq!(attempts, 3);
    }
}
