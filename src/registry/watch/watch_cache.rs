//! The latest events of a resource for all of its watchers, from one watch of the store.

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

/// The maximum size of the event buffer, in bytes of [`CachedEvent::cost`].
const MAX_BUFFER_BYTES: usize = 16 << 20;
/// The size of a batch of events for one watcher, in stored bytes.
const BATCH_BYTES: usize = 64 << 10;
/// The interval at which an idle feed updates its revision.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The watch cache of a resource, as k8s.io/apiserver/pkg/storage/cacher.
pub struct WatchCache<T> {
    feed: Mutex<Weak<EventFeed<T>>>,
}

/// The events of a resource, buffered while there are watchers.
pub(crate) struct EventFeed<T> {
    state: Arc<FeedState<T>>,
    follower: AbortHandle,
}

/// The state that a feed shares with its task.
struct FeedState<T> {
    buffer: RwLock<EventBuffer<T>>,
    /// Notifies watchers of new events. Holds the error that ended the feed.
    ended: signal::Sender<Option<WatchError>>,
}

struct EventBuffer<T> {
    events: VecDeque<Arc<CachedEvent<T>>>,
    /// The buffer holds all events after `start` up to `end`.
    start: Revision,
    end: Revision,
    cost: usize,
    max_cost: usize,
}

/// The buffered events after a revision.
pub(crate) enum BufferedEvents<T> {
    /// The next events in the scope, possibly none, and the revision up to which they are complete.
    Events(Vec<Arc<CachedEvent<T>>>, Revision),
    /// The buffer does not reach back to the revision.
    TooOld,
}

impl<T> Default for WatchCache<T> {
    fn default() -> Self {
        Self { feed: Mutex::new(Weak::new()) }
    }
}

impl<T: Kind> WatchCache<T> {
    /// Returns the feed of the keys under `prefix`. Concurrent watchers share it.
    ///
    /// # Errors
    /// Store failures.
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
        // Another watcher may have created it.
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
    /// Buffers the events of a watch that starts after `start`, up to a total cost.
    pub(crate) fn follow(watch: Box<dyn Watch>, start: Revision, max_cost: usize) -> Self {
        let buffer = EventBuffer { events: VecDeque::new(), start, end: start, cost: 0, max_cost };
        let state =
            Arc::new(FeedState { buffer: RwLock::new(buffer), ended: signal::Sender::new(None) });
        let follower = tokio::spawn(follow(state.clone(), watch)).abort_handle();
        Self { state, follower }
    }

    fn is_alive(&self) -> bool {
        self.state.ended.borrow().is_none()
    }

    /// Notifies of new events. The value is the error that ended the feed, if any.
    pub(crate) fn updates(&self) -> signal::Receiver<Option<WatchError>> {
        self.state.ended.subscribe()
    }

    /// The revision up to which the buffer is complete.
    #[cfg(test)]
    pub(crate) fn revision(&self) -> Revision {
        self.buffer().end
    }

    /// Returns true if the buffer holds all events after a revision.
    pub(crate) fn covers(&self, after: Revision) -> bool {
        after >= self.buffer().start
    }

    /// Returns a batch of events in a scope after a revision. It never splits a revision.
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

/// Buffers the events of the store until the watch ends.
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

    /// Records that there was no event up to a revision. No watcher needs to wake up.
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
        // The newest events stay, whatever their size: else each watcher would decode its own copy.
        while self.cost > self.max_cost
            && let Some(oldest) =
                self.events.pop_front_if(|oldest| oldest.revision() < batch.revision)
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
