//! A watch on objects: its scope, its phase and its options.

use std::sync::Arc;
use std::time::Duration;

use super::cached_event::ObjectReader;
use super::cursor::WatchCursor;
use super::initial_events::InitialEvents;
use super::options::{Bookmarks, InitialEventsEnd, WatchOptions, WatchStart};
use super::projection::Shown;
use super::scope::WatchScope;
use super::watch_cache::{EventFeed, WatchCache};
use crate::meta::{Kind, Status};
use crate::registry::storage_errors::status_of;
use crate::registry::workload::Workload;
use crate::store::{Revision, Store};

/// A watch on the stored objects of type `S` in a scope, which shows objects of type `V`.
pub struct ObjectWatch<S, V> {
    pub(crate) scope: WatchScope,
    pub(crate) reader: Arc<dyn ObjectReader<S>>,
    pub(crate) shown: Shown<S, V>,
    pub(crate) phase: WatchPhase<S>,
    pub(crate) bookmarks: Bookmarks,
    pub(crate) duration: Duration,
    /// The memory of the watch.
    pub(crate) load: Workload,
    store: Arc<dyn Store>,
    feed: Arc<EventFeed<S>>,
}

/// The phase of a watch.
pub(crate) enum WatchPhase<T> {
    /// The watch sends the existing objects.
    InitialEvents(InitialEvents, InitialEventsEnd),
    /// The watch sends events as they happen.
    Live(WatchCursor<T>),
    /// The watch has ended.
    Ended,
}

/// The storage that a watch reads from.
pub(crate) struct WatchSource<'a, T> {
    /// The store.
    pub(crate) store: &'a Arc<dyn Store>,
    /// The watch cache of the resource.
    pub(crate) cache: &'a WatchCache<T>,
    /// The prefix of all keys of the resource.
    pub(crate) prefix: &'a str,
    /// The decoder of the objects.
    pub(crate) reader: Arc<dyn ObjectReader<T>>,
}

impl<S: Kind, V: Kind> ObjectWatch<S, V> {
    /// Starts a watch.
    ///
    /// # Errors
    /// Store failures.
    pub(crate) async fn begin(
        source: WatchSource<'_, S>,
        load: &Workload,
        scope: WatchScope,
        shown: Shown<S, V>,
        options: WatchOptions,
    ) -> Result<Self, Status> {
        let WatchSource { store, cache, prefix, reader } = source;
        // Subscribed before anything is read, so that the buffer covers later events.
        let feed = cache.subscribe(store, prefix).await.map_err(|error| status_of(&error))?;
        let phase = match options.start {
            WatchStart::InitialEvents { at_least, end } => WatchPhase::InitialEvents(
                InitialEvents::new(store.clone(), load, &scope, at_least),
                end,
            ),
            WatchStart::Now => {
                let now = store.current().await.map_err(|error| status_of(&error))?;
                WatchPhase::Live(WatchCursor::new(store.clone(), feed.clone(), now))
            }
            WatchStart::After(revision) => {
                WatchPhase::Live(WatchCursor::new(store.clone(), feed.clone(), revision))
            }
        };
        let chance = uuid::Uuid::new_v4().as_u128() as u64;
        let (bookmarks, duration) = (options.bookmarks, options.duration(chance));
        let (load, store) = (load.clone(), store.clone());
        Ok(Self { scope, reader, shown, phase, bookmarks, duration, load, store, feed })
    }

    /// Continues with the events after a revision.
    pub(crate) fn go_live(&mut self, after: Revision) {
        self.phase =
            WatchPhase::Live(WatchCursor::new(self.store.clone(), self.feed.clone(), after));
    }
}
