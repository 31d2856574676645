//! A quota for the objects of a resource in each namespace, so that one tenant cannot fill the
//! store.
//!
//! A count reads the index of the whole namespace, which is too expensive for each create.
//! A namespace is counted on its first create; from then on the writes of this process update the
//! number.
//!
//! * Concurrent creates of this process never exceed the quota: each takes a reservation before it
//!   is committed.
//! * Writes of other processes become visible at the next count, at most `RECOUNT` later. Until
//!   then they can exceed the quota.
//! * A create is only rejected by a count that is at most `RECHECK` old; otherwise the namespace
//!   is counted again first.
//! * A create with an unknown outcome, such as that of a cancelled request, counts until the next
//!   count.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use super::attributes::{AdmissionAttributes, AdmissionOperation, AdmissionPhase, AdmissionTarget};
use super::plugin::{AdmissionPlugin, Reservation};
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::keys;
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::storage_errors::status_of;
use crate::store::{Range, Revision, Store, StoreError};

/// The age at which a count is refreshed before a create.
const RECOUNT: Duration = Duration::from_secs(60);
/// The age at which a count is refreshed before a create is rejected.
const RECHECK: Duration = Duration::from_secs(10);

/// The quota of a resource in each namespace.
pub struct ObjectQuota {
    store: Arc<dyn Store>,
    resource: GroupResource<'static>,
    max: u64,
    max_age: MaxCountAge,
    /// Never shrinks. Only namespaces with at least one create get an entry.
    namespaces: Mutex<HashMap<String, Arc<NamespaceUsage>>>,
}

/// The maximum age of a count.
#[derive(Clone, Copy)]
struct MaxCountAge {
    admit: Duration,
    reject: Duration,
}

/// The reason for a rejected create.
#[derive(Debug)]
enum QuotaError {
    /// The namespace has reached the quota.
    Exceeded {
        /// The quota.
        max: u64,
    },
    /// The count failed.
    CountFailed(StoreError),
}

/// The reservation for one create. Dropping it releases it, unless the object may exist.
struct ObjectReservation {
    namespace: Arc<NamespaceUsage>,
    outcome: CreateOutcome,
}

/// The outcome of a create.
#[derive(Clone, Copy)]
enum CreateOutcome {
    /// The object does not exist.
    NotCreated,
    /// The commit has begun and its outcome is not known.
    Unknown,
    /// The object was created at this revision.
    Created(Revision),
}

#[derive(Default)]
struct NamespaceUsage {
    /// Held during a count.
    counting: tokio::sync::Mutex<()>,
    counter: Mutex<UsageCounter>,
}

#[derive(Default)]
struct UsageCounter {
    /// Objects at the last count, plus the changes by this process since then.
    objects: u64,
    /// Revision and time of the last count; none before the first one.
    last_count: Option<(Revision, Instant)>,
    /// Reservations that are not settled.
    in_flight: u64,
    /// Creates with an unknown outcome since the last count.
    unknown: u64,
    /// Changes during a running count, which may miss them.
    during_count: Option<Vec<(Revision, UsageDelta)>>,
}

/// The change of the number of objects by a write.
#[derive(Clone, Copy)]
enum UsageDelta {
    More,
    Fewer,
}

impl ObjectQuota {
    /// A quota of `max` objects of a resource in each namespace.
    pub fn new(store: Arc<dyn Store>, resource: GroupResource<'static>, max: NonZeroU64) -> Self {
        let max_age = MaxCountAge { admit: RECOUNT, reject: RECHECK };
        Self { store, resource, max: max.get(), max_age, namespaces: Mutex::default() }
    }

    /// Reserves one object in a namespace.
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

    /// Records the deletion of an object.
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
    /// The Status for a rejected create of the object `name`.
    fn status(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Status {
        match self {
            Self::CountFailed(error) => status_of(error),
            Self::Exceeded { max } => {
                let (namespace, what, quoted) =
                    (field::quote(namespace), resource.name, field::quote(name));
                let text = format!(
                    "{resource} {quoted} is forbidden: namespace {namespace} has {max} {what} and may have no more: delete \
                     some, or raise --max-objects-per-namespace of the server"
                );
                Status::forbidden(text).about(resource, name)
            }
        }
    }
}

impl AdmissionPlugin for ObjectQuota {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        phase == AdmissionPhase::Validate
            && target.operation == AdmissionOperation::Create
            && target.resource == self.resource
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        _: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move {
            let AdmissionAttributes { target, namespace, name, .. } = attributes;
            match self.reserve(namespace).await {
                Ok(reservation) => Ok(Some(Box::new(reservation) as Box<dyn Reservation>)),
                Err(why) => Err(why.status(target.resource, namespace, name)),
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

    /// Counts the namespace if the last count is older than `age`. Concurrent callers share one
    /// count.
    async fn count(
        &self,
        store: &dyn Store,
        prefix: &str,
        age: Duration,
    ) -> Result<(), StoreError> {
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
        // Changes before the first count, or before its revision, are part of the count.
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

    /// Starts a count and returns the number of creates with an unknown outcome so far.
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

    /// A store with a quota of two objects per namespace.
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
            match self
                .store
                .commit(Txn { guards: vec![], changes: vec![change], ..Txn::default() })
                .await
                .unwrap()
            {
                Outcome::Committed(revision) => revision,
                Outcome::Refused(_) => unreachable!("nothing is guarded"),
            }
        }

        /// Reserves and creates an object.
        async fn fill(&self, key: &str) {
            let reservation = Box::new(self.reserve().await.unwrap());
            reservation.committed(self.put(key).await);
        }

        async fn put(&self, key: &str) -> Revision {
            self.commit(Change::Put(Key::new(key), Bytes::new())).await
        }
    }

    const NEVER: MaxCountAge = MaxCountAge { admit: Duration::MAX, reject: Duration::MAX };
    const RECOUNT_BEFORE_REJECT: MaxCountAge =
        MaxCountAge { admit: Duration::MAX, reject: Duration::ZERO };

    #[tokio::test]
    async fn existing_objects_of_the_namespace_count() {
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
        let (mut first, second) =
            (fixture.reserve().await.unwrap(), fixture.reserve().await.unwrap());
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
    async fn deletion_frees_quota() {
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
    async fn create_with_unknown_outcome_counts_until_recount() {
        for (max_age, is_full) in [(NEVER, true), (RECOUNT_BEFORE_REJECT, false)] {
            let fixture = QuotaFixture::new(max_age);
            fixture.fill("/g/r/ns/a").await;
            fixture.reserve().await.unwrap().commit_begun();
            assert_eq!(fixture.is_full().await, is_full);
        }
    }

    #[tokio::test]
    async fn recount_sees_writes_of_other_processes() {
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
