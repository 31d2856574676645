//! Responses to watches: each event is encoded once for all clients with the same representation.

mod event_encoder;
mod frame;
mod frame_buffer;
mod stream;

pub(super) use event_encoder::EventEncoder;
pub(super) use stream::respond;
