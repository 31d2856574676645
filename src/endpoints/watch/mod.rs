//! Responses to watches: each event is encoded once for all clients with the same representation.

mod frame;
mod parts;
mod stream;
mod style;

pub(super) use stream::reply;
pub(super) use style::Encoder;
