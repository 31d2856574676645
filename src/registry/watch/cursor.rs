//! One watcher's place in what happens: in what the hub remembers or, further behind, in the log of the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::change::Change;
use super::hub::{Feed, Found};
use super::scope::Scope;
use crate::meta::Kind;
use crate::store::{Revision, Store, Watch, WatchError};

/// How often a watcher that reads the log and finds nothing looks whether the hub remembers what comes next.
const LOOK: Duration = Duration::from_millis(50);

/// A watcher's place.
pub(crate) struct Cursor<T> {
    store: Arc<dyn Store>,
    feed: Arc<Feed<T>>,
    bell: signal::Receiver<Option<WatchError>>,
    /// The watcher has seen all that happened up to here.
    at: Revision,
    /// The log, as long as the hub does not remember what comes next.
    log: Option<Box<dyn Watch>>,
}

impl<T: Kind> Cursor<T> {
    /// The place behind a revision.
    pub(crate) fn new(store: Arc<dyn Store>, feed: Arc<Feed<T>>, after: Revision) -> Self {
        let bell = feed.bell();
        Self { store, feed, bell, at: after, log: None }
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
    pub(crate) async fn next(&mut self, scope: &Scope) -> Result<Vec<Arc<Change<T>>>, WatchError> {
        loop {
            let changes = match &mut self.log {
                Some(_) => self.next_of_log(scope).await?,
                None => self.next_of_feed(scope).await?,
            };
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    /// Whether it reads the log of the store, since the hub does not remember what comes next.
    #[cfg(test)]
    pub(crate) fn reads_log(&self) -> bool {
        self.log.is_some()
    }

    /// Moves on over what does not concern the watcher, as far as that is known without waiting.
    pub(crate) fn look(&mut self, scope: &Scope) {
        if self.log.is_none()
            && let Found::Changes(changes, revision) = self.feed.after(self.at, scope)
            && changes.is_empty()
        {
            self.at = revision;
        }
    }

    async fn next_of_feed(&mut self, scope: &Scope) -> Result<Vec<Arc<Change<T>>>, WatchError> {
        // Noted before the ring is read, so that nothing slips in between.
        let ended = self.bell.borrow_and_update().clone();
        match self.feed.after(self.at, scope) {
            Found::Forgotten => self.log = Some(self.store.watch(&scope.prefix, self.at)),
            Found::Changes(changes, revision) => {
                self.at = revision;
                if !changes.is_empty() {
                    return Ok(changes);
                }
                if let Some(why) = ended {
                    return Err(why);
                }
                // The sender lives as long as the feed, which this holds.
                let _ = self.bell.changed().await;
            }
        }
        Ok(Vec::new())
    }

    async fn next_of_log(&mut self, scope: &Scope) -> Result<Vec<Arc<Change<T>>>, WatchError> {
        let Some(log) = &mut self.log else {
            return Ok(Vec::new());
        };
        let read = timeout(LOOK, log.next()).await;
        self.at = self.at.max(log.revision());
        if self.feed.remembers(self.at) {
            self.log = None;
        }
        let events = match read {
            Ok(batch) => batch?.events,
            Err(_) => Vec::new(),
        };
        Ok(events.into_iter().filter(|event| scope.contains(event.key())).map(Change::new).collect())
    }
}
