//! Watches: what changes, told to whoever asks as long as they listen.
//!
//! One [`WatchCache`] a resource follows the store while anybody watches, and remembers for all of them what happened last. A
//! `WatchCursor` is one watcher's place in it; whoever falls further behind than the hub remembers reads the log of
//! the store until there again, so that a slow watcher costs little and loses nothing. How a change looks is written once
//! a representation, whoever sees it (`Change`).

mod cached_event;
mod cursor;
mod event_type;
mod initial_events;
mod object_watch;
mod options;
mod scope;
#[cfg(test)]
pub(crate) mod tests;
mod watch_cache;

pub use object_watch::ObjectWatch;
pub use watch_cache::WatchCache;

pub(crate) use cached_event::{CachedEvent, EncodingId, ObjectReader};
pub(crate) use event_type::EventType;
pub(crate) use object_watch::{WatchPhase, WatchSource};
pub(crate) use options::{Bookmarks, InitialEventsEnd, WatchOptions};
pub(crate) use scope::WatchScope;
