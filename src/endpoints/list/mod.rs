//! Responses to lists: objects are encoded while they are read.
//!
//! A small list is one body. A large one is sent in parts, so that its memory does not depend on
//! the number of objects.

mod encoder;
mod envelope;
mod response;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use response::respond;
pub(super) use writer::ListWriter;
