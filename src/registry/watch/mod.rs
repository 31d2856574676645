//! Watches.
//!
//! The [`WatchCache`] of a resource watches the store while there are watchers, and buffers the
//! latest events for all of them. A `WatchCursor` is the position of one watcher. A watcher that
//! falls behind the buffer reads the log of the store until it has caught up, so slow watchers are
//! cheap and lose nothing. Each `CachedEvent` is decoded once, and encoded once per representation.
//!
//! A watch shows stored objects as they are, or views of their parts: see `Projection`.

mod cached_event;
mod cursor;
mod event_type;
mod initial_events;
mod object_watch;
mod options;
mod projection;
mod scope;
#[cfg(test)]
pub(crate) mod tests;
mod watch_cache;

pub use object_watch::ObjectWatch;
pub use watch_cache::WatchCache;

pub(crate) use cached_event::{
    CachedEvent, EncodedChange, EncodedEvent, EncodingId, ObjectReader, StoredStates,
};
pub(crate) use cursor::WatchCursor;
pub(crate) use event_type::EventType;
pub(crate) use object_watch::{WatchPhase, WatchSource};
pub(crate) use options::{Bookmarks, InitialEventsEnd, WatchOptions};
pub(crate) use projection::{Identity, Projection, Shown, ShownChange, ShownChanges};
pub(crate) use scope::WatchScope;
