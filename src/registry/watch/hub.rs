//! What happened last to the objects of a resource, for all who watch: one watch of the store, as long as there are any.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tokio::sync::watch as signal;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::change::Change;
use super::scope::Scope;
use crate::meta::Kind;
use crate::store::{Batch, Revision, Store, StoreError, Watch, WatchError};

/// How much of what happened is remembered, in bytes as [`Change::cost`] counts them.
const MEMORY: usize = 16 << 20;
/// How much a watcher takes at a time, in bytes as they are stored.
const PORTION: usize = 64 << 10;
/// How often the hub looks how far it has come while nothing happens to its objects.
const PROGRESS: Duration = Duration::from_secs(1);

/// The watchers of a resource.
pub struct Hub<T> {
    feed: Mutex<Weak<Feed<T>>>,
}

/// What is remembered while anybody holds this.
pub(crate) struct Feed<T> {
    recent: Arc<Recent<T>>,
    follower: AbortHandle,
}

/// What happened last.
struct Recent<T> {
    ring: RwLock<Ring<T>>,
    /// Rings when there is more; holds why there will be no more.
    ended: signal::Sender<Option<WatchError>>,
}

struct Ring<T> {
    changes: VecDeque<Arc<Change<T>>>,
    /// Everything after this revision is remembered, up to `end`.
    start: Revision,
    end: Revision,
    cost: usize,
    most: usize,
}

/// What there is after a revision.
pub(crate) enum Found<T> {
    /// Some changes, maybe none, and up to which revision they are all that there are.
    Changes(Vec<Arc<Change<T>>>, Revision),
    /// That is too long ago.
    Forgotten,
}

impl<T> Default for Hub<T> {
    fn default() -> Self {
        Self { feed: Mutex::new(Weak::new()) }
    }
}

impl<T: Kind> Hub<T> {
    /// What happens from now on to what lies under `prefix` in the store; the same for all who ask as long as one of them is there.
    ///
    /// # Errors
    /// Failures of the store.
    pub(crate) async fn join(&self, store: &Arc<dyn Store>, prefix: &str) -> Result<Arc<Feed<T>>, StoreError> {
        if let Some(feed) = self.present().upgrade().filter(|feed| feed.is_alive()) {
            return Ok(feed);
        }
        let now = store.current().await?;
        let mut present = self.present();
        // Another one may have come first.
        if let Some(feed) = present.upgrade().filter(|feed| feed.is_alive()) {
            return Ok(feed);
        }
        let feed = Arc::new(Feed::follow(store.watch(prefix, now), now, MEMORY));
        *present = Arc::downgrade(&feed);
        Ok(feed)
    }

    fn present(&self) -> MutexGuard<'_, Weak<Feed<T>>> {
        self.feed.lock()
    }
}

impl<T: Kind> Feed<T> {
    /// Follows what a watch tells that begins behind `start`, and remembers at most so much of it.
    pub(crate) fn follow(watch: Box<dyn Watch>, start: Revision, most: usize) -> Self {
        let ring = Ring { changes: VecDeque::new(), start, end: start, cost: 0, most };
        let recent = Arc::new(Recent { ring: RwLock::new(ring), ended: signal::Sender::new(None) });
        let follower = tokio::spawn(follow(recent.clone(), watch)).abort_handle();
        Self { recent, follower }
    }

    fn is_alive(&self) -> bool {
        self.recent.ended.borrow().is_none()
    }

    /// Rings whenever something happened, and tells why nothing more will be told once that is so.
    pub(crate) fn bell(&self) -> signal::Receiver<Option<WatchError>> {
        self.recent.ended.subscribe()
    }

    /// Everything up to here is known.
    #[cfg(test)]
    pub(crate) fn revision(&self) -> Revision {
        self.ring().end
    }

    /// Whether everything after a revision is remembered.
    pub(crate) fn remembers(&self, after: Revision) -> bool {
        after >= self.ring().start
    }

    /// What happened after a revision to the objects of a scope: a portion of it, but never part of a revision.
    pub(crate) fn after(&self, revision: Revision, scope: &Scope) -> Found<T> {
        self.ring().after(revision, scope)
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring<T>> {
        self.recent.ring.read()
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Remembers what the store tells, until it tells no more.
async fn follow<T: Kind>(recent: Arc<Recent<T>>, mut watch: Box<dyn Watch>) {
    loop {
        match timeout(PROGRESS, watch.next()).await {
            Ok(Ok(batch)) => recent.add(batch),
            Ok(Err(why)) => return recent.end(why),
            Err(_) => recent.progress(watch.revision()),
        }
    }
}

impl<T: Kind> Recent<T> {
    fn add(&self, batch: Batch) {
        self.ring.write().add(batch);
        self.ended.send_modify(|_| {});
    }

    /// Takes note that nothing happened up to a revision. Nobody has to wake for that.
    fn progress(&self, revision: Revision) {
        let mut ring = self.ring.write();
        ring.end = ring.end.max(revision);
    }

    fn end(&self, why: WatchError) {
        self.ended.send_replace(Some(why));
    }
}

impl<T: Kind> Ring<T> {
    fn add(&mut self, batch: Batch) {
        for event in batch.events {
            let change = Change::new(event);
            self.cost += change.cost();
            self.changes.push_back(change);
        }
        self.end = batch.revision;
        // What happened just now is kept however large it is, or each watcher would read a copy of its own.
        while self.cost > self.most
            && let Some(oldest) = self.changes.pop_front_if(|oldest| oldest.revision() < batch.revision)
        {
            self.cost -= oldest.cost();
            self.start = oldest.revision();
        }
    }

    fn after(&self, revision: Revision, scope: &Scope) -> Found<T> {
        if revision < self.start {
            return Found::Forgotten;
        }
        let first = self.changes.partition_point(|change| change.revision() <= revision);
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut done = revision;
        for change in self.changes.range(first..) {
            if bytes >= PORTION && change.revision() > done {
                return Found::Changes(found, done);
            }
            done = change.revision();
            if scope.contains(change.key()) {
                bytes += change.stored_bytes();
                found.push(change.clone());
            }
        }
        Found::Changes(found, self.end.max(revision))
    }
}
