//! One watcher's place in what happens: in what the hub remembers or, further behind, in the log of the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::cached_event::CachedEvent;
use super::scope::WatchScope;
use super::watch_cache::{BufferedEvents, EventFeed};
use crate::meta::Kind;
use crate::store::{Revision, Store, Watch, WatchError};

/// How often a watcher that reads the log and finds nothing looks whether the hub remembers what comes next.
const FEED_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A watcher's place.
pub(crate) struct WatchCursor<T> {
    store: Arc<dyn Store>,
    feed: Arc<EventFeed<T>>,
    updates: signal::Receiver<Option<WatchError>>,
    /// The watcher has seen all that happened up to here.
    at: Revision,
    /// The log, as long as the hub does not remember what comes next.
    log: Option<Box<dyn Watch>>,
}

impl<T: Kind> WatchCursor<T> {
    /// The place behind a revision.
    pub(crate) fn new(store: Arc<dyn Store>, feed: Arc<EventFeed<T>>, after: Revision) -> Self {
        let updates = feed.updates();
        Self { store, feed, updates, at: after, log: None }
    }

    /// The watcher has seen all that happened up to here.
    pub(crate) fn revision(&self) -> Revision {
        self.at
    }

    /// What happens next to the objects of a scope, at least one change; waits until there is some.
    ///
    /// May be dropped at any time without losing a change.
    ///
    /// # Errors
    /// What comes next is forgotten, or the store failed.
    pub(crate) async fn next(&mut self, scope: &WatchScope) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
        loop {
            let events = match &mut self.log {
                Some(_) => self.next_from_log(scope).await?,
                None => self.next_from_feed(scope).await?,
            };
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Whether it reads the log of the store, since the hub does not remember what comes next.
    #[cfg(test)]
    pub(crate) fn reads_log(&self) -> bool {
        self.log.is_some()
    }

    /// Moves on over what does not concern the watcher, as far as that is known without waiting.
    pub(crate) fn skip_unselected(&mut self, scope: &WatchScope) {
        if self.log.is_none()
            && let BufferedEvents::Events(events, revision) = self.feed.after(self.at, scope)
            && events.is_empty()
        {
            self.at = revision;
        }
    }

    async fn next_from_feed(&mut self, scope: &WatchScope) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
        // Noted before the ring is read, so that nothing slips in between.
        let ended = self.updates.borrow_and_update().clone();
        match self.feed.after(self.at, scope) {
            BufferedEvents::TooOld => self.log = Some(self.store.watch(&scope.prefix, self.at)),
            BufferedEvents::Events(events, revision) => {
                self.at = revision;
                if !events.is_empty() {
                    return Ok(events);
                }
                if let Some(why) = ended {
                    return Err(why);
                }
                // The sender lives as long as the feed, which this holds.
                let _ = self.updates.changed().await;
            }
        }
        Ok(Vec::new())
    }

    async fn next_from_log(&mut self, scope: &WatchScope) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
        let Some(log) = &mut self.log else {
            return Ok(Vec::new());
        };
        let read = timeout(FEED_CHECK_INTERVAL, log.next()).await;
        self.at = self.at.max(log.revision());
        if self.feed.covers(self.at) {
            self.log = None;
        }
        let events = match read {
            Ok(batch) => batch?.events,
            Err(_) => Vec::new(),
        };
        Ok(events.into_iter().filter(|event| scope.contains(event.key())).map(CachedEvent::new).collect())
    }
}
