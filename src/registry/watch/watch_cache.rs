//! What happened last to the objects of a resource, for all who watch: one watch of the store, as long as there are any.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tokio::sync::watch as signal;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::cached_event::CachedEvent;
use super::scope::WatchScope;
use crate::meta::Kind;
use crate::store::{Batch, Revision, Store, StoreError, Watch, WatchError};

/// How much of what happened is remembered, in bytes as [`CachedEvent::cost`] counts them.
const MAX_BUFFER_BYTES: usize = 16 << 20;
/// How much a watcher takes at a time, in bytes as they are stored.
const BATCH_BYTES: usize = 64 << 10;
/// How often the hub looks how far it has come while nothing happens to its objects.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The watchers of a resource.
pub struct WatchCache<T> {
    feed: Mutex<Weak<EventFeed<T>>>,
}

/// What is remembered while anybody holds this.
pub(crate) struct EventFeed<T> {
    state: Arc<FeedState<T>>,
    follower: AbortHandle,
}

/// What happened last.
struct FeedState<T> {
    buffer: RwLock<EventBuffer<T>>,
    /// Rings when there is more; holds why there will be no more.
    ended: signal::Sender<Option<WatchError>>,
}

struct EventBuffer<T> {
    events: VecDeque<Arc<CachedEvent<T>>>,
    /// Everything after this revision is remembered, up to `end`.
    start: Revision,
    end: Revision,
    cost: usize,
    max_cost: usize,
}

/// What there is after a revision.
pub(crate) enum BufferedEvents<T> {
    /// Some events, maybe none, and up to which revision they are all that there are.
    Events(Vec<Arc<CachedEvent<T>>>, Revision),
    /// That is too long ago.
    TooOld,
}

impl<T> Default for WatchCache<T> {
    fn default() -> Self {
        Self { feed: Mutex::new(Weak::new()) }
    }
}

impl<T: Kind> WatchCache<T> {
    /// What happens from now on to what lies under `prefix` in the store; the same for all who ask as long as one of them is there.
    ///
    /// # Errors
    /// Failures of the store.
    pub(crate) async fn subscribe(
        &self,
        store: &Arc<dyn Store>,
        prefix: &str,
    ) -> Result<Arc<EventFeed<T>>, StoreError> {
        if let Some(feed) = self.feed().upgrade().filter(|feed| feed.is_alive()) {
            return Ok(feed);
        }
        let now = store.current().await?;
        let mut current = self.feed();
        // Another one may have come first.
        if let Some(feed) = current.upgrade().filter(|feed| feed.is_alive()) {
            return Ok(feed);
        }
        let feed = Arc::new(EventFeed::follow(store.watch(prefix, now), now, MAX_BUFFER_BYTES));
        *current = Arc::downgrade(&feed);
        Ok(feed)
    }

    fn feed(&self) -> MutexGuard<'_, Weak<EventFeed<T>>> {
        self.feed.lock()
    }
}

impl<T: Kind> EventFeed<T> {
    /// Follows what a watch tells that begins behind `start`, and remembers at max_cost so much of it.
    pub(crate) fn follow(watch: Box<dyn Watch>, start: Revision, max_cost: usize) -> Self {
        let buffer = EventBuffer { events: VecDeque::new(), start, end: start, cost: 0, max_cost };
        let state = Arc::new(FeedState { buffer: RwLock::new(buffer), ended: signal::Sender::new(None) });
        let follower = tokio::spawn(follow(state.clone(), watch)).abort_handle();
        Self { state, follower }
    }

    fn is_alive(&self) -> bool {
        self.state.ended.borrow().is_none()
    }

    /// Rings whenever something happened, and tells why nothing more will be told once that is so.
    pub(crate) fn updates(&self) -> signal::Receiver<Option<WatchError>> {
        self.state.ended.subscribe()
    }

    /// Everything up to here is known.
    #[cfg(test)]
    pub(crate) fn revision(&self) -> Revision {
        self.buffer().end
    }

    /// Whether everything after a revision is remembered.
    pub(crate) fn covers(&self, after: Revision) -> bool {
        after >= self.buffer().start
    }

    /// What happened after a revision to the objects of a scope: a portion of it, but never part of a revision.
    pub(crate) fn after(&self, revision: Revision, scope: &WatchScope) -> BufferedEvents<T> {
        self.buffer().after(revision, scope)
    }

    fn buffer(&self) -> RwLockReadGuard<'_, EventBuffer<T>> {
        self.state.buffer.read()
    }
}

impl<T> Drop for EventFeed<T> {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Remembers what the store tells, until it tells no more.
async fn follow<T: Kind>(state: Arc<FeedState<T>>, mut watch: Box<dyn Watch>) {
    loop {
        match timeout(PROGRESS_INTERVAL, watch.next()).await {
            Ok(Ok(batch)) => state.add(batch),
            Ok(Err(why)) => return state.end(why),
            Err(_) => state.progress(watch.revision()),
        }
    }
}

impl<T: Kind> FeedState<T> {
    fn add(&self, batch: Batch) {
        self.buffer.write().add(batch);
        self.ended.send_modify(|_| {});
    }

    /// Takes note that nothing happened up to a revision. Nobody has to wake for that.
    fn progress(&self, revision: Revision) {
        let mut buffer = self.buffer.write();
        buffer.end = buffer.end.max(revision);
    }

    fn end(&self, why: WatchError) {
        self.ended.send_replace(Some(why));
    }
}

impl<T: Kind> EventBuffer<T> {
    fn add(&mut self, batch: Batch) {
        for event in batch.events {
            let event = CachedEvent::new(event);
            self.cost += event.cost();
            self.events.push_back(event);
        }
        self.end = batch.revision;
        // What happened just now is kept however large it is, or each watcher would read a copy of its own.
        while self.cost > self.max_cost
            && let Some(oldest) = self.events.pop_front_if(|oldest| oldest.revision() < batch.revision)
        {
            self.cost -= oldest.cost();
            self.start = oldest.revision();
        }
    }

    fn after(&self, revision: Revision, scope: &WatchScope) -> BufferedEvents<T> {
        if revision < self.start {
            return BufferedEvents::TooOld;
        }
        let first = self.events.partition_point(|event| event.revision() <= revision);
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut done = revision;
        for event in self.events.range(first..) {
            if bytes >= BATCH_BYTES && event.revision() > done {
                return BufferedEvents::Events(found, done);
            }
            done = event.revision();
            if scope.contains(event.key()) {
                bytes += event.stored_bytes();
                found.push(event.clone());
            }
        }
        BufferedEvents::Events(found, self.end.max(revision))
    }
}
