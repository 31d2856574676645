//! A watch, as a handler makes it: what it is about, where it begins, and where it is from then on.

use std::sync::Arc;
use std::time::Duration;

use super::change::Read;
use super::cursor::Cursor;
use super::hub::{Feed, Hub};
use super::initial::Initial;
use super::options::{Bookmarks, End, Options, Start};
use super::scope::Scope;
use crate::meta::{Kind, Status};
use crate::registry::storage_errors::status_of;
use crate::store::{Revision, Store};

/// What a watch is about, and where it is.
pub struct Changes<T> {
    pub(crate) scope: Scope,
    pub(crate) read: Arc<dyn Read<T>>,
    pub(crate) place: Place<T>,
    pub(crate) bookmarks: Bookmarks,
    pub(crate) lasts: Duration,
    store: Arc<dyn Store>,
    feed: Arc<Feed<T>>,
}

/// Where a watch is.
pub(crate) enum Place<T> {
    /// It tells what is there.
    State(Initial, End),
    /// It tells what happens.
    Live(Cursor<T>),
    /// It is over.
    Ended,
}

/// Where the objects of a resource are, and how they are watched.
pub(crate) struct Source<'a, T> {
    /// Where they are stored.
    pub(crate) store: &'a Arc<dyn Store>,
    /// Who watches them.
    pub(crate) hub: &'a Hub<T>,
    /// How the keys of all of them begin.
    pub(crate) prefix: &'a str,
    /// How they are read.
    pub(crate) read: Arc<dyn Read<T>>,
}

impl<T: Kind> Changes<T> {
    /// A watch of what a scope holds.
    ///
    /// # Errors
    /// Failures of the store.
    pub(crate) async fn begin(source: Source<'_, T>, scope: Scope, options: Options) -> Result<Self, Status> {
        let Source { store, hub, prefix, read } = source;
        // Before anything is read, so that what happens meanwhile is remembered.
        let feed = hub.join(store, prefix).await.map_err(|error| status_of(&error))?;
        let place = match options.start {
            Start::State { at_least, end } => Place::State(Initial::new(store.clone(), &scope, at_least), end),
            Start::Now => {
                let now = store.current().await.map_err(|error| status_of(&error))?;
                Place::Live(Cursor::new(store.clone(), feed.clone(), now))
            }
            Start::After(revision) => Place::Live(Cursor::new(store.clone(), feed.clone(), revision)),
        };
        let chance = uuid::Uuid::new_v4().as_u128() as u64;
        let (bookmarks, lasts) = (options.bookmarks, options.duration(chance));
        Ok(Self { scope, read, place, bookmarks, lasts, store: store.clone(), feed })
    }

    /// Goes on with what happens after a revision.
    pub(crate) fn go_live(&mut self, after: Revision) {
        self.place = Place::Live(Cursor::new(self.store.clone(), self.feed.clone(), after));
    }
}
