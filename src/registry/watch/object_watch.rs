//! A watch, as a handler makes it: what it is about, where it begins, and where it is from then on.

use std::sync::Arc;
use std::time::Duration;

use super::cached_event::ObjectReader;
use super::cursor::WatchCursor;
use super::initial_events::InitialEvents;
use super::options::{Bookmarks, InitialEventsEnd, WatchOptions, WatchStart};
use super::scope::WatchScope;
use super::watch_cache::{EventFeed, WatchCache};
use crate::meta::{Kind, Status};
use crate::registry::storage_errors::status_of;
use crate::store::{Revision, Store};

/// What a watch is about, and where it is.
pub struct ObjectWatch<T> {
    pub(crate) scope: WatchScope,
    pub(crate) reader: Arc<dyn ObjectReader<T>>,
    pub(crate) phase: WatchPhase<T>,
    pub(crate) bookmarks: Bookmarks,
    pub(crate) duration: Duration,
    store: Arc<dyn Store>,
    feed: Arc<EventFeed<T>>,
}

/// Where a watch is.
pub(crate) enum WatchPhase<T> {
    /// It tells what is there.
    InitialEvents(InitialEvents, InitialEventsEnd),
    /// It tells what happens.
    Live(WatchCursor<T>),
    /// It is over.
    Ended,
}

/// Where the objects of a resource are, and how they are watched.
pub(crate) struct WatchSource<'a, T> {
    /// Where they are stored.
    pub(crate) store: &'a Arc<dyn Store>,
    /// Who watches them.
    pub(crate) cache: &'a WatchCache<T>,
    /// How the keys of all of them begin.
    pub(crate) prefix: &'a str,
    /// How they are reader.
    pub(crate) reader: Arc<dyn ObjectReader<T>>,
}

impl<T: Kind> ObjectWatch<T> {
    /// A watch of what a scope holds.
    ///
    /// # Errors
    /// Failures of the store.
    pub(crate) async fn begin(
        source: WatchSource<'_, T>,
        scope: WatchScope,
        options: WatchOptions,
    ) -> Result<Self, Status> {
        let WatchSource { store, cache, prefix, reader } = source;
        // Before anything is reader, so that what happens meanwhile is remembered.
        let feed = cache.subscribe(store, prefix).await.map_err(|error| status_of(&error))?;
        let phase = match options.start {
            WatchStart::InitialEvents { at_least, end } => {
                WatchPhase::InitialEvents(InitialEvents::new(store.clone(), &scope, at_least), end)
            }
            WatchStart::Now => {
                let now = store.current().await.map_err(|error| status_of(&error))?;
                WatchPhase::Live(WatchCursor::new(store.clone(), feed.clone(), now))
            }
            WatchStart::After(revision) => WatchPhase::Live(WatchCursor::new(store.clone(), feed.clone(), revision)),
        };
        let chance = uuid::Uuid::new_v4().as_u128() as u64;
        let (bookmarks, duration) = (options.bookmarks, options.duration(chance));
        Ok(Self { scope, reader, phase, bookmarks, duration, store: store.clone(), feed })
    }

    /// Goes on with what happens after a revision.
    pub(crate) fn go_live(&mut self, after: Revision) {
        self.phase = WatchPhase::Live(WatchCursor::new(self.store.clone(), self.feed.clone(), after));
    }
}
