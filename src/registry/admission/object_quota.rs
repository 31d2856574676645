//! How many objects of a resource a namespace may hold, so that one tenant cannot fill the store for everybody.
//!
//! Counting walks the index of the namespace, which is too much for every creation. So a namespace is counted when
//! something is first made in it, and from then on the number is kept by what this process writes. What that gives:
//!
//! * Creations of this process are held to the limit exactly, however many run at a time: each takes its place before
//!   it is written.
//! * What other processes on the same store write is seen with the next count, [`RECOUNT`] after the last one at the
//!   latest. Until then the limit can be overrun by as much as they make.
//! * Nobody is refused on the word of a number older than [`RECHECK`]: then the namespace is counted again first.
//! * A creation whose end nobody waited for, as when its client went away, counts until the next count, which finds
//!   whether it was made.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use super::{Attributes, Operation, Plugin, Reservation};
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::guaranteed_update::{Effect, ObjectChange};
use crate::registry::keys;
use crate::registry::storage_errors::status_of;
use crate::store::{Range, Revision, Store, StoreError};

/// After this time a namespace is counted anew.
const RECOUNT: Duration = Duration::from_secs(60);
/// After this time a namespace is counted anew before anything is refused in it.
const RECHECK: Duration = Duration::from_secs(10);

/// The quota of a resource in each namespace.
pub struct ObjectQuota {
    store: Arc<dyn Store>,
    resource: GroupResource<'static>,
    most: u64,
    ages: Ages,
    /// Kept as long as the process lives: it takes an object in the store for each to get here.
    namespaces: Mutex<HashMap<String, Arc<Namespace>>>,
}

/// How old a count may be.
#[derive(Clone, Copy)]
struct Ages {
    to_admit: Duration,
    to_refuse: Duration,
}

/// Why there is no place for another object.
#[derive(Debug)]
enum NoPlace {
    /// The namespace holds as many as it may.
    Full {
        /// How many.
        most: u64,
    },
    /// The namespace could not be counted.
    Failed(StoreError),
}

/// The place of one object that is to be made. Given back when it is dropped, unless the object may have been made.
struct Place {
    namespace: Arc<Namespace>,
    end: End,
}

/// What is known of a creation.
#[derive(Clone, Copy)]
enum End {
    /// Nothing was made.
    Unmade,
    /// The store was asked, and has not answered.
    Open,
    /// The object was made.
    Made(Revision),
}

#[derive(Default)]
struct Namespace {
    /// Held by the one who counts.
    counting: tokio::sync::Mutex<()>,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    /// Objects at the last count, and what this process did to the number since.
    objects: u64,
    /// The last count; none before the first one.
    counted: Option<(Revision, Instant)>,
    /// Creations that have a place and have not ended.
    under_way: u64,
    /// Creations that ended without an answer since the last count.
    open: u64,
    /// What is written while a count is being made, which sees only a part of it.
    meanwhile: Option<Vec<(Revision, Delta)>>,
}

/// What a write does to the number of objects.
#[derive(Clone, Copy)]
enum Delta {
    More,
    Fewer,
}

impl ObjectQuota {
    /// A maximum number of objects of a resource in each namespace.
    pub fn new(store: Arc<dyn Store>, resource: GroupResource<'static>, most: NonZeroU64) -> Self {
        let ages = Ages { to_admit: RECOUNT, to_refuse: RECHECK };
        Self { store, resource, most: most.get(), ages, namespaces: Mutex::default() }
    }

    /// Takes a place in a namespace.
    async fn place(&self, namespace: &str) -> Result<Place, NoPlace> {
        let prefix = keys::prefix(self.resource, namespace, 0);
        let namespace = self.namespace(namespace);
        for age in [self.ages.to_admit, self.ages.to_refuse] {
            namespace.count(&*self.store, &prefix, age).await.map_err(NoPlace::Failed)?;
            if namespace.tally().take(self.most) {
                return Ok(Place { namespace, end: End::Unmade });
            }
        }
        Err(NoPlace::Full { most: self.most })
    }

    /// Takes note that an object of a namespace was deleted.
    fn deleted(&self, namespace: &str, revision: Revision) {
        let known = self.namespaces().get(namespace).cloned();
        if let Some(namespace) = known {
            namespace.tally().note(revision, Delta::Fewer);
        }
    }

    fn namespace(&self, name: &str) -> Arc<Namespace> {
        let mut namespaces = self.namespaces();
        if let Some(known) = namespaces.get(name) {
            return known.clone();
        }
        namespaces.entry(name.to_owned()).or_default().clone()
    }

    fn namespaces(&self) -> MutexGuard<'_, HashMap<String, Arc<Namespace>>> {
        self.namespaces.lock()
    }
}

impl NoPlace {
    /// What is answered to who wants to make the object `name` in this namespace.
    fn status(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Status {
        match self {
            Self::Failed(error) => status_of(error),
            Self::Full { most } => {
                let (namespace, what, quoted) = (field::quote(namespace), resource.name, field::quote(name));
                let text = format!(
                    "{resource} {quoted} is forbidden: namespace {namespace} has {most} {what} and may have no more: delete \
                     some, or have --max-objects-per-namespace of the server raised"
                );
                Status::forbidden(text).about(resource, name)
            }
        }
    }
}

impl Plugin for ObjectQuota {
    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes,
        _: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move {
            let Attributes { resource, namespace, name, .. } = attributes;
            if *resource != self.resource {
                return Ok(None);
            }
            match self.place(namespace).await {
                Ok(place) => Ok(Some(Box::new(place) as Box<dyn Reservation>)),
                Err(why) => Err(why.status(*resource, namespace, name)),
            }
        }
        .boxed()
    }

    fn committed(&self, change: &ObjectChange, revision: Revision) {
        if change.resource == self.resource && change.effect == Effect::Deleted {
            self.deleted(&change.namespace, revision);
        }
    }
}

impl Reservation for Place {
    fn commit_begun(&mut self) {
        self.end = End::Open;
    }

    fn commit_refused(&mut self) {
        self.end = End::Unmade;
    }

    fn committed(mut self: Box<Self>, revision: Revision) {
        self.end = End::Made(revision);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tally = self.namespace.tally();
        tally.under_way -= 1;
        match self.end {
            End::Unmade => {}
            End::Open => tally.open += 1,
            End::Made(revision) => tally.note(revision, Delta::More),
        }
    }
}

impl Namespace {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock()
    }

    /// Counts, if the last count is older than `age`. Of many at a time one counts and the others wait for it.
    async fn count(&self, store: &dyn Store, prefix: &str, age: Duration) -> Result<(), StoreError> {
        if self.tally().is_younger_than(age) {
            return Ok(());
        }
        let asked = Instant::now();
        let _one = self.counting.lock().await;
        if self.tally().was_counted_after(asked) {
            return Ok(());
        }
        let open = self.tally().begin_count();
        let begun = Instant::now();
        let all = store.outline(Range { prefix: prefix.into(), ..Range::default() }).await?;
        self.tally().end_count(all.entries, open, (all.revision, begun));
        Ok(())
    }
}

impl Tally {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.counted.is_some_and(|(_, then)| then.elapsed() < age)
    }

    fn was_counted_after(&self, moment: Instant) -> bool {
        self.counted.is_some_and(|(_, then)| then >= moment)
    }

    fn take(&mut self, most: u64) -> bool {
        let has_place = self.objects + self.under_way + self.open < most;
        self.under_way += u64::from(has_place);
        has_place
    }

    fn note(&mut self, revision: Revision, effect: Delta) {
        // Before the first count there is nothing to keep, and what the last count saw is in its number.
        let is_new = self.counted.is_some_and(|(counted, _)| revision > counted);
        if is_new {
            self.apply(effect);
        }
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.push((revision, effect));
        }
    }

    fn apply(&mut self, effect: Delta) {
        self.objects = match effect {
            Delta::More => self.objects + 1,
            Delta::Fewer => self.objects.saturating_sub(1),
        };
    }

    /// Answers how many creations have ended without an answer before.
    fn begin_count(&mut self) -> u64 {
        self.meanwhile = Some(Vec::new());
        self.open
    }

    fn end_count(&mut self, objects: u64, open: u64, counted: (Revision, Instant)) {
        self.objects = objects;
        self.open -= open;
        self.counted = Some(counted);
        for (revision, effect) in self.meanwhile.take().into_iter().flatten() {
            if revision > counted.0 {
                self.apply(effect);
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
    struct Lab {
        quota: ObjectQuota,
        store: Arc<dyn Store>,
    }

    impl Lab {
        fn new(ages: Ages) -> Self {
            let store = store::in_memory().unwrap().store;
            let resource = GroupResource { group: "g", name: "r" };
            let most = NonZeroU64::new(2).unwrap();
            let quota = ObjectQuota { ages, ..ObjectQuota::new(store.clone(), resource, most) };
            Self { quota, store }
        }

        async fn place(&self) -> Result<Place, NoPlace> {
            self.quota.place("ns").await
        }

        async fn is_full(&self) -> bool {
            matches!(self.place().await, Err(NoPlace::Full { most: 2 }))
        }

        async fn commit(&self, change: Change) -> Revision {
            match self.store.commit(Txn { guards: vec![], changes: vec![change] }).await.unwrap() {
                Outcome::Committed(revision) => revision,
                Outcome::Refused(_) => unreachable!("nothing is guarded"),
            }
        }

        /// Takes a place and makes an object in it.
        async fn fill(&self, key: &str) {
            let place = Box::new(self.place().await.unwrap());
            place.committed(self.put(key).await);
        }

        async fn put(&self, key: &str) -> Revision {
            self.commit(Change::Put(Key::new(key), Bytes::new())).await
        }
    }

    const NEVER: Ages = Ages { to_admit: Duration::MAX, to_refuse: Duration::MAX };
    const ALWAYS_TO_REFUSE: Ages = Ages { to_admit: Duration::MAX, to_refuse: Duration::ZERO };

    #[tokio::test]
    async fn what_is_there_before_counts_and_other_namespaces_do_not() {
        let lab = Lab::new(NEVER);
        for key in ["/g/r/n/x", "/g/r/ns/a", "/g/r/ns0/x"] {
            lab.put(key).await;
        }
        lab.fill("/g/r/ns/b").await;
        assert!(lab.is_full().await);
    }

    #[tokio::test]
    async fn reservation_precedes_create_and_is_returned_on_failure() {
        let lab = Lab::new(NEVER);
        let (mut first, second) = (lab.place().await.unwrap(), lab.place().await.unwrap());
        assert!(lab.is_full().await);
        first.commit_begun();
        first.commit_refused();
        drop(first);
        let third = lab.place().await.unwrap();
        assert!(lab.is_full().await);
        drop((second, third));
        assert!(!lab.is_full().await);
    }

    #[tokio::test]
    async fn a_deletion_makes_room() {
        let lab = Lab::new(NEVER);
        for key in ["/g/r/ns/a", "/g/r/ns/b"] {
            lab.fill(key).await;
        }
        assert!(lab.is_full().await);
        let revision = lab.commit(Change::Delete(Key::new("/g/r/ns/a"))).await;
        lab.quota.deleted("ns", revision);
        assert!(!lab.is_full().await);
    }

    #[tokio::test]
    async fn a_creation_without_an_answer_counts_until_the_next_count() {
        for (ages, is_full) in [(NEVER, true), (ALWAYS_TO_REFUSE, false)] {
            let lab = Lab::new(ages);
            lab.fill("/g/r/ns/a").await;
            lab.place().await.unwrap().commit_begun();
            assert_eq!(lab.is_full().await, is_full);
        }
    }

    #[tokio::test]
    async fn what_others_write_is_seen_by_the_next_count() {
        let lab = Lab::new(ALWAYS_TO_REFUSE);
        drop(lab.place().await.unwrap());
        lab.put("/g/r/ns/a").await;
        lab.put("/g/r/ns/b").await;
        drop((lab.place().await.unwrap(), lab.place().await.unwrap()));
        let _both = (lab.place().await.unwrap(), lab.place().await.unwrap());
        assert!(lab.is_full().await);
    }

    #[test]
    fn write_during_recount_counts_once() {
        let mut tally = Tally { under_way: 2, ..Tally::default() };
        let open = tally.begin_count();
        tally.note(Revision(5), Delta::More);
        tally.note(Revision(7), Delta::More);
        tally.end_count(1, open, (Revision(6), Instant::now()));
        tally.note(Revision(6), Delta::More);
        tally.note(Revision(8), Delta::Fewer);
        assert_eq!(tally.objects, 1);
    }
}
