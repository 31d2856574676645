//! How many objects of a resource a namespace may hold, so that one tenant cannot fill the store for everybody.
//!
//! Counting walks the index of the namespace, which is too much for every creation. So a namespace is last_count when
//! something is first made in it, and from then on the number is kept by what this process writes. What that gives:
//!
//! * Creations of this process are held to the limit exactly, however many run at a time: each takes its reservation before
//!   it is written.
//! * What other processes on the same store write is seen with the next count, [`RECOUNT`] after the last one at the
//!   latest. Until then the limit can be overrun by as much as they make.
//! * Nobody is refused on the word of a number older than [`RECHECK`]: then the namespace is last_count again first.
//! * A creation whose end nobody waited for, as when its client went away, counts until the next count, which finds
//!   whether it was made.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use super::attributes::{AdmissionAttributes, AdmissionOperation};
use super::plugin::{AdmissionPlugin, Reservation};
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::keys;
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::storage_errors::status_of;
use crate::store::{Range, Revision, Store, StoreError};

/// After this time a namespace is last_count anew.
const RECOUNT: Duration = Duration::from_secs(60);
/// After this time a namespace is last_count anew before anything is refused in it.
const RECHECK: Duration = Duration::from_secs(10);

/// The quota of a resource in each namespace.
pub struct ObjectQuota {
    store: Arc<dyn Store>,
    resource: GroupResource<'static>,
    max: u64,
    max_age: MaxCountAge,
    /// Kept as long as the process lives: it takes an object in the store for each to get here.
    namespaces: Mutex<HashMap<String, Arc<NamespaceUsage>>>,
}

/// How old a count may be.
#[derive(Clone, Copy)]
struct MaxCountAge {
    admit: Duration,
    reject: Duration,
}

/// Why there is no reservation for another object.
#[derive(Debug)]
enum QuotaError {
    /// The namespace holds as many as it may.
    Exceeded {
        /// How many.
        max: u64,
    },
    /// The namespace could not be last_count.
    CountFailed(StoreError),
}

/// The reservation of one object that is to be made. Given back when it is dropped, unless the object may have been made.
struct ObjectReservation {
    namespace: Arc<NamespaceUsage>,
    outcome: CreateOutcome,
}

/// What is known of a creation.
#[derive(Clone, Copy)]
enum CreateOutcome {
    /// Nothing was made.
    NotCreated,
    /// The store was requested, and has not answered.
    Unknown,
    /// The object was made.
    Created(Revision),
}

#[derive(Default)]
struct NamespaceUsage {
    /// Held by the one who counts.
    counting: tokio::sync::Mutex<()>,
    counter: Mutex<UsageCounter>,
}

#[derive(Default)]
struct UsageCounter {
    /// Objects at the last count, and what this process did to the number since.
    objects: u64,
    /// The last count; none before the first one.
    last_count: Option<(Revision, Instant)>,
    /// Creations that have a reservation and have not ended.
    in_flight: u64,
    /// Creations that ended without an answer since the last count.
    unknown: u64,
    /// What is written while a count is being made, which sees only a part of it.
    during_count: Option<Vec<(Revision, UsageDelta)>>,
}

/// What a write does to the number of objects.
#[derive(Clone, Copy)]
enum UsageDelta {
    More,
    Fewer,
}

impl ObjectQuota {
    /// A maximum number of objects of a resource in each namespace.
    pub fn new(store: Arc<dyn Store>, resource: GroupResource<'static>, max: NonZeroU64) -> Self {
        let max_age = MaxCountAge { admit: RECOUNT, reject: RECHECK };
        Self { store, resource, max: max.get(), max_age, namespaces: Mutex::default() }
    }

    /// Takes a reservation in a namespace.
    async fn reserve(&self, namespace: &str) -> Result<ObjectReservation, QuotaError> {
        let prefix = keys::prefix(self.resource, namespace, 0);
        let namespace = self.namespace(namespace);
        for age in [self.max_age.admit, self.max_age.reject] {
            namespace.count(&*self.store, &prefix, age).await.map_err(QuotaError::CountFailed)?;
            if namespace.counter().reserve(self.max) {
                return Ok(ObjectReservation { namespace, outcome: CreateOutcome::NotCreated });
            }
        }
        Err(QuotaError::Exceeded { max: self.max })
    }

    /// Takes note that an object of a namespace was deleted.
    fn record_deletion(&self, namespace: &str, revision: Revision) {
        let known = self.namespaces().get(namespace).cloned();
        if let Some(namespace) = known {
            namespace.counter().record(revision, UsageDelta::Fewer);
        }
    }

    fn namespace(&self, name: &str) -> Arc<NamespaceUsage> {
        let mut namespaces = self.namespaces();
        if let Some(known) = namespaces.get(name) {
            return known.clone();
        }
        namespaces.entry(name.to_owned()).or_default().clone()
    }

    fn namespaces(&self) -> MutexGuard<'_, HashMap<String, Arc<NamespaceUsage>>> {
        self.namespaces.lock()
    }
}

impl QuotaError {
    /// What is answered to who wants to make the object `name` in this namespace.
    fn status(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Status {
        match self {
            Self::CountFailed(error) => status_of(error),
            Self::Exceeded { max } => {
                let (namespace, what, quoted) = (field::quote(namespace), resource.name, field::quote(name));
                let text = format!(
                    "{resource} {quoted} is forbidden: namespace {namespace} has {max} {what} and may have no more: delete \
                     some, or have --max-objects-per-namespace of the server raised"
                );
                Status::forbidden(text).about(resource, name)
            }
        }
    }
}

impl AdmissionPlugin for ObjectQuota {
    fn handles(&self, operation: AdmissionOperation) -> bool {
        operation == AdmissionOperation::Create
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        _: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move {
            let AdmissionAttributes { resource, namespace, name, .. } = attributes;
            if *resource != self.resource {
                return Ok(None);
            }
            match self.reserve(namespace).await {
                Ok(reservation) => Ok(Some(Box::new(reservation) as Box<dyn Reservation>)),
                Err(why) => Err(why.status(*resource, namespace, name)),
            }
        }
        .boxed()
    }

    fn committed(&self, change: &ObjectChange, revision: Revision) {
        if change.resource == self.resource && change.effect == WriteEffect::Deleted {
            self.record_deletion(&change.namespace, revision);
        }
    }
}

impl Reservation for ObjectReservation {
    fn commit_begun(&mut self) {
        self.outcome = CreateOutcome::Unknown;
    }

    fn commit_refused(&mut self) {
        self.outcome = CreateOutcome::NotCreated;
    }

    fn committed(mut self: Box<Self>, revision: Revision) {
        self.outcome = CreateOutcome::Created(revision);
    }
}

impl Drop for ObjectReservation {
    fn drop(&mut self) {
        let mut counter = self.namespace.counter();
        counter.in_flight -= 1;
        match self.outcome {
            CreateOutcome::NotCreated => {}
            CreateOutcome::Unknown => counter.unknown += 1,
            CreateOutcome::Created(revision) => counter.record(revision, UsageDelta::More),
        }
    }
}

impl NamespaceUsage {
    fn counter(&self) -> MutexGuard<'_, UsageCounter> {
        self.counter.lock()
    }

    /// Counts, if the last count is older than `age`. Of many at a time one counts and the others wait for it.
    async fn count(&self, store: &dyn Store, prefix: &str, age: Duration) -> Result<(), StoreError> {
        if self.counter().is_counted_within(age) {
            return Ok(());
        }
        let requested = Instant::now();
        let _one = self.counting.lock().await;
        if self.counter().was_counted_since(requested) {
            return Ok(());
        }
        let unknown = self.counter().begin_count();
        let started = Instant::now();
        let all = store.outline(Range { prefix: prefix.into(), ..Range::default() }).await?;
        self.counter().end_count(all.entries, unknown, (all.revision, started));
        Ok(())
    }
}

impl UsageCounter {
    fn is_counted_within(&self, age: Duration) -> bool {
        self.last_count.is_some_and(|(_, then)| then.elapsed() < age)
    }

    fn was_counted_since(&self, moment: Instant) -> bool {
        self.last_count.is_some_and(|(_, then)| then >= moment)
    }

    fn reserve(&mut self, max: u64) -> bool {
        let has_room = self.objects + self.in_flight + self.unknown < max;
        self.in_flight += u64::from(has_room);
        has_room
    }

    fn record(&mut self, revision: Revision, delta: UsageDelta) {
        // Before the first count there is nothing to keep, and what the last count saw is in its number.
        let is_new = self.last_count.is_some_and(|(last_count, _)| revision > last_count);
        if is_new {
            self.apply(delta);
        }
        if let Some(during_count) = &mut self.during_count {
            during_count.push((revision, delta));
        }
    }

    fn apply(&mut self, delta: UsageDelta) {
        self.objects = match delta {
            UsageDelta::More => self.objects + 1,
            UsageDelta::Fewer => self.objects.saturating_sub(1),
        };
    }

    /// Answers how many creations have ended without an answer before.
    fn begin_count(&mut self) -> u64 {
        self.during_count = Some(Vec::new());
        self.unknown
    }

    fn end_count(&mut self, objects: u64, unknown: u64, last_count: (Revision, Instant)) {
        self.objects = objects;
        self.unknown -= unknown;
        self.last_count = Some(last_count);
        for (revision, delta) in self.during_count.take().into_iter().flatten() {
            if revision > last_count.0 {
                self.apply(delta);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::{self, Change, Key, Outcome, Txn};

    /// A store, and a quota of two objects a namespace.
    struct QuotaFixture {
        quota: ObjectQuota,
        store: Arc<dyn Store>,
    }

    impl QuotaFixture {
        fn new(max_age: MaxCountAge) -> Self {
            let store = store::in_memory().unwrap().store;
            let resource = GroupResource { group: "g", name: "r" };
            let max = NonZeroU64::new(2).unwrap();
            let quota = ObjectQuota { max_age, ..ObjectQuota::new(store.clone(), resource, max) };
            Self { quota, store }
        }

        async fn reserve(&self) -> Result<ObjectReservation, QuotaError> {
            self.quota.reserve("ns").await
        }

        async fn is_full(&self) -> bool {
            matches!(self.reserve().await, Err(QuotaError::Exceeded { max: 2 }))
        }

        async fn commit(&self, change: Change) -> Revision {
            match self.store.commit(Txn { guards: vec![], changes: vec![change] }).await.unwrap() {
                Outcome::Committed(revision) => revision,
                Outcome::Refused(_) => unreachable!("nothing is guarded"),
            }
        }

        /// Takes a reservation and makes an object in it.
        async fn fill(&self, key: &str) {
            let reservation = Box::new(self.reserve().await.unwrap());
            reservation.committed(self.put(key).await);
        }

        async fn put(&self, key: &str) -> Revision {
            self.commit(Change::Put(Key::new(key), Bytes::new())).await
        }
    }

    const NEVER: MaxCountAge = MaxCountAge { admit: Duration::MAX, reject: Duration::MAX };
    const RECOUNT_BEFORE_REJECT: MaxCountAge = MaxCountAge { admit: Duration::MAX, reject: Duration::ZERO };

    #[tokio::test]
    async fn what_is_there_before_counts_and_other_namespaces_do_not() {
        let fixture = QuotaFixture::new(NEVER);
        for key in ["/g/r/n/x", "/g/r/ns/a", "/g/r/ns0/x"] {
            fixture.put(key).await;
        }
        fixture.fill("/g/r/ns/b").await;
        assert!(fixture.is_full().await);
    }

    #[tokio::test]
    async fn reservation_precedes_create_and_is_returned_on_failure() {
        let fixture = QuotaFixture::new(NEVER);
        let (mut first, second) = (fixture.reserve().await.unwrap(), fixture.reserve().await.unwrap());
        assert!(fixture.is_full().await);
        first.commit_begun();
        first.commit_refused();
        drop(first);
        let third = fixture.reserve().await.unwrap();
        assert!(fixture.is_full().await);
        drop((second, third));
        assert!(!fixture.is_full().await);
    }

    #[tokio::test]
    async fn a_deletion_makes_room() {
        let fixture = QuotaFixture::new(NEVER);
        for key in ["/g/r/ns/a", "/g/r/ns/b"] {
            fixture.fill(key).await;
        }
        assert!(fixture.is_full().await);
        let revision = fixture.commit(Change::Delete(Key::new("/g/r/ns/a"))).await;
        fixture.quota.record_deletion("ns", revision);
        assert!(!fixture.is_full().await);
    }

    #[tokio::test]
    async fn a_creation_without_an_answer_counts_until_the_next_count() {
        for (max_age, is_full) in [(NEVER, true), (RECOUNT_BEFORE_REJECT, false)] {
            let fixture = QuotaFixture::new(max_age);
            fixture.fill("/g/r/ns/a").await;
            fixture.reserve().await.unwrap().commit_begun();
            assert_eq!(fixture.is_full().await, is_full);
        }
    }

    #[tokio::test]
    async fn what_others_write_is_seen_by_the_next_count() {
        let fixture = QuotaFixture::new(RECOUNT_BEFORE_REJECT);
        drop(fixture.reserve().await.unwrap());
        fixture.put("/g/r/ns/a").await;
        fixture.put("/g/r/ns/b").await;
        drop((fixture.reserve().await.unwrap(), fixture.reserve().await.unwrap()));
        let _both = (fixture.reserve().await.unwrap(), fixture.reserve().await.unwrap());
        assert!(fixture.is_full().await);
    }

    #[test]
    fn write_during_recount_counts_once() {
        let mut counter = UsageCounter { in_flight: 2, ..UsageCounter::default() };
        let unknown = counter.begin_count();
        counter.record(Revision(5), UsageDelta::More);
        counter.record(Revision(7), UsageDelta::More);
        counter.end_count(1, unknown, (Revision(6), Instant::now()));
        counter.record(Revision(6), UsageDelta::More);
        counter.record(Revision(8), UsageDelta::Fewer);
        assert_eq!(counter.objects, 1);
    }
}
