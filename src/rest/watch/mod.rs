//! Watches: what changes, told to whoever asks as long as they listen.
//!
//! One [`Hub`] a resource follows the store while anybody watches, and remembers for all of them what happened last. A
//! `Cursor` is one watcher's place in it; whoever falls further behind than the hub remembers reads the log of
//! the store until there again, so that a slow watcher costs little and loses nothing. How a change looks is written once
//! a representation, whoever sees it (`Change`).

mod change;
mod changes;
mod cursor;
mod frame;
mod hub;
mod initial;
mod options;
mod parts;
mod scope;
mod stream;
mod style;
#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use hub::Hub;
pub use style::Encoder;

pub(in crate::rest) use change::Read;
pub(in crate::rest) use changes::Source;
pub(in crate::rest) use options::Options;
pub(in crate::rest) use scope::{Extent, Scope};
pub(in crate::rest) use stream::reply;
