//! Updates whose first entries are outdated.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::meta::{GroupResource, Time};
use crate::registry::actor::Actor;
use crate::registry::admission::chain::{AdmissionChain, Admitted};
use crate::registry::guaranteed_update::{Storage, UpdateDecision, UpdateOutcome};
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::store::{
    self, Charge, MAX_VALUE_BYTES, Outcome, Outline, Page, Range, Revision, Txn, Watch,
};

/// A store that has entries in memory, and counts the reads that need more.
struct CachingStore {
    inner: Arc<dyn Store>,
    cached: Mutex<HashMap<Key, Lookup>>,
    reads: AtomicUsize,
}

impl Store for CachingStore {
    fn get<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key, known)
    }

    fn get_cached(&self, key: &Key) -> Option<Lookup> {
        self.cached.lock().get(key).cloned()
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.range(range)
    }

    fn outline(&self, range: Range) -> BoxFuture<'_, Result<Outline, StoreError>> {
        self.inner.outline(range)
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.inner.commit(txn)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch> {
        self.inner.watch(prefix, after)
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.current()
    }

    fn latest(&self) -> Option<Revision> {
        self.inner.latest()
    }
}

/// A key whose state in memory may differ from that in the store.
struct Fixture {
    store: Arc<CachingStore>,
    storage: Storage,
    key: Key,
}

impl Fixture {
    /// The key had a value once, of which the store has the first or the second one now, if any.
    async fn new(cached: Option<&'static str>, stored: Option<&'static str>) -> Self {
        let inner = store::in_memory().unwrap().store;
        let store = CachingStore { inner, cached: Mutex::default(), reads: AtomicUsize::new(0) };
        let store = Arc::new(store);
        let storage = Storage::new(store.clone(), AdmissionChain::default());
        let fixture = Self { store, storage, key: Key::new("/key") };
        fixture.commit(cached).await;
        let in_memory = fixture.store.inner.get(&fixture.key, None).await.unwrap();
        fixture.store.cached.lock().insert(fixture.key.clone(), in_memory);
        if stored != cached {
            fixture.commit(stored).await;
        }
        fixture
    }

    async fn commit(&self, value: Option<&'static str>) {
        let change = self.change(value).rows.remove(0);
        let txn = Txn { changes: vec![change], ..Txn::default() };
        self.store.inner.commit(txn).await.unwrap();
    }

    fn change(&self, value: Option<&'static str>) -> ObjectChange {
        ObjectChange {
            resource: GroupResource { group: "", name: "tests" },
            namespace: String::new(),
            effect: WriteEffect::Updated,
            rows: vec![match value {
                Some(value) => Change::Put(self.key.clone(), value.into()),
                None => Change::Delete(self.key.clone()),
            }],
            charge: Charge::Nobody,
        }
    }

    /// Updates the key. Returns the result, and the values on which `decide` has run.
    async fn update<R>(
        &self,
        decide: impl Fn(Option<&str>) -> Result<UpdateDecision<R>, Status>,
    ) -> (Result<UpdateOutcome<R>, Status>, Vec<String>) {
        let mut seen = Vec::new();
        let actor = Actor::internal("test", Time::from_unix_seconds(0));
        let attempt = |read_set: &ReadSet, _: &Admitted| {
            let entry = read_set.entry(&self.key)?;
            let text = entry.map(|entry| String::from_utf8_lossy(&entry.value));
            seen.push(text.clone().unwrap_or_default().into_owned());
            decide(text.as_deref())
        };
        let keys = std::slice::from_ref(&self.key);
        let done = self.storage.guaranteed_update(&actor, keys, attempt).await;
        (done, seen)
    }

    fn reads(&self) -> usize {
        self.store.reads.load(Ordering::Relaxed)
    }
}

fn refusal() -> Status {
    Status::failure(409, "Conflict", "refused")
}

#[tokio::test]
async fn refusal_of_an_outdated_entry_is_decided_again() {
    for (cached, stored) in [(Some("old"), None), (Some("old"), Some("new")), (None, Some("new"))] {
        let fixture = Fixture::new(cached, stored).await;
        let (done, seen) = fixture
            .update(|value| match value == cached {
                true => Err(refusal()),
                false => Ok(UpdateDecision::Write(vec![fixture.change(Some("mine"))], ())),
            })
            .await;
        assert!(matches!(done, Ok(UpdateOutcome::Committed((), _))), "{done:?}");
        assert_eq!(seen, [cached, stored].map(Option::unwrap_or_default));
    }
}

#[tokio::test]
async fn refusal_of_a_current_entry_costs_one_read() {
    for value in [None, Some("same")] {
        let fixture = Fixture::new(value, value).await;
        let (done, seen) = fixture.update::<()>(|_| Err(refusal())).await;
        assert_eq!(done.unwrap_err().code, 409);
        assert_eq!((seen.len(), fixture.reads()), (1, 1));
    }
}

#[tokio::test]
async fn write_without_a_change_is_decided_on_a_current_entry() {
    let fixture = Fixture::new(Some("old"), Some("new")).await;
    let (done, seen) =
        fixture.update(|value| Ok(UpdateDecision::Keep(value.map(str::to_owned)))).await;
    assert!(
        matches!(&done, Ok(UpdateOutcome::Unchanged(Some(value))) if value == "new"),
        "{done:?}"
    );
    assert_eq!(seen, ["old", "new"]);
}

#[tokio::test]
async fn write_of_a_current_entry_needs_no_read() {
    let fixture = Fixture::new(Some("same"), Some("same")).await;
    let write = || Ok(UpdateDecision::Write(vec![fixture.change(Some("mine"))], ()));
    let (done, seen) = fixture.update(|_| write()).await;
    assert!(matches!(done, Ok(UpdateOutcome::Committed((), _))), "{done:?}");
    assert_eq!((seen.len(), fixture.reads()), (1, 0));
}

#[tokio::test]
async fn refused_commit_shows_that_all_entries_are_current() {
    let fixture = Fixture::new(None, Some("new")).await;
    let (done, seen) = fixture
        .update(|value| match value {
            None => Ok(UpdateDecision::Write(vec![fixture.change(Some("mine"))], ())),
            Some(_) => Err(refusal()),
        })
        .await;
    assert_eq!(done.unwrap_err().code, 409);
    assert_eq!((seen, fixture.reads()), (vec![String::new(), "new".to_owned()], 0));
}

#[tokio::test]
async fn limit_that_an_outdated_entry_exceeds_is_checked_again() {
    let fixture = Fixture::new(Some("long"), Some("short")).await;
    let huge = "x".repeat(MAX_VALUE_BYTES + 1);
    let (done, seen) = fixture
        .update(|value| {
            let mut change = fixture.change(Some("mine"));
            if value == Some("long") {
                change.rows = vec![Change::Put(fixture.key.clone(), huge.clone().into())];
            }
            Ok(UpdateDecision::Write(vec![change], ()))
        })
        .await;
    assert!(matches!(done, Ok(UpdateOutcome::Committed((), _))), "{done:?}");
    assert_eq!(seen, ["long", "short"]);
}
