//! Responses to lists: objects are encoded while they are read.
//!
//! A small list is one body. A large one is sent in parts, so that its memory does not depend on
//! the number of objects.

mod frame;
mod pen;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use frame::Frame;
pub(super) use stream::reply;
