//! Watches: what changes, told to whoever asks as long as they listen.
//!
//! One [`Hub`] a resource follows the store while anybody watches, and remembers for all of them what happened last. A
//! `Cursor` is one watcher's place in it; whoever falls further behind than the hub remembers reads the log of
//! the store until there again, so that a slow watcher costs little and loses nothing. How a change looks is written once
//! a representation, whoever sees it (`Change`).

mod change;
mod changes;
mod cursor;
mod hub;
mod initial;
mod options;
mod scope;
#[cfg(test)]
pub(crate) mod tests;

pub use changes::Changes;
pub use hub::Hub;

pub(crate) use change::{Change, Encoding, Read};
pub(crate) use changes::{Place, Source};
pub(crate) use options::{Bookmarks, End, Options};
pub(crate) use scope::{EventType, Extent, Scope};
