//! The position of one watcher, in the event buffer or in the log of the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::cached_event::CachedEvent;
use super::scope::WatchScope;
use super::watch_cache::{BufferedEvents, EventFeed};
use crate::meta::Kind;
use crate::store::{Revision, Store, Watch, WatchError};

/// The interval at which a watcher of the log tries to return to the event buffer.
const FEED_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The position of a watcher.
pub(crate) struct WatchCursor<T> {
    store: Arc<dyn Store>,
    feed: Arc<EventFeed<T>>,
    updates: signal::Receiver<Option<WatchError>>,
    /// All events up to this revision are delivered.
    at: Revision,
    /// The log of the store, while the buffer does not reach back far enough.
    log: Option<Box<dyn Watch>>,
}

impl<T: Kind> WatchCursor<T> {
    /// A position after a revision.
    pub(crate) fn new(store: Arc<dyn Store>, feed: Arc<EventFeed<T>>, after: Revision) -> Self {
        let updates = feed.updates();
        Self { store, feed, updates, at: after, log: None }
    }

    /// The revision up to which all events are delivered.
    pub(crate) fn revision(&self) -> Revision {
        self.at
    }

    /// Returns the next events in a scope, at least one; waits until there is one.
    ///
    /// Cancel safe: dropping the future loses no event.
    ///
    /// # Errors
    /// The next events are compacted, or the store failed.
    pub(crate) async fn next(
        &mut self,
        scope: &WatchScope,
    ) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
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

    /// Goes back to a revision, so that the events after it are returned again. The caller drops
    /// them, so that a watcher that waits holds none.
    pub(crate) fn rewind(&mut self, revision: Revision) {
        (self.at, self.log) = (revision, None);
    }

    /// Returns true if the watcher reads the log of the store.
    #[cfg(test)]
    pub(crate) fn reads_log(&self) -> bool {
        self.log.is_some()
    }

    /// Advances over buffered events outside of the scope, without waiting.
    pub(crate) fn skip_unselected(&mut self, scope: &WatchScope) {
        if self.log.is_none()
            && let BufferedEvents::Events(events, revision) = self.feed.after(self.at, scope)
            && events.is_empty()
        {
            self.at = revision;
        }
    }

    async fn next_from_feed(
        &mut self,
        scope: &WatchScope,
    ) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
        // Marked as seen before the buffer is read, so that no update is missed.
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
                // Cannot fail: `self.feed` owns the sender.
                let _ = self.updates.changed().await;
            }
        }
        Ok(Vec::new())
    }

    async fn next_from_log(
        &mut self,
        scope: &WatchScope,
    ) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
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
        Ok(events
            .into_iter()
            .filter(|event| scope.contains(event.key()))
            .map(CachedEvent::new)
            .collect())
    }
}
