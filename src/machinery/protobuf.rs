//! Protobuf, by way of JSON: what is sent is translated from the JSON that says the same, what is received into it. So every
//! rule about objects is written once, for JSON, and protobuf is nothing but another way to write it.
//!
//! The tables of [`crate::meta::protobuf`] say how. What is written is byte for byte what the reference implementation
//! writes.

mod decode;
mod encode;
mod envelope;
mod list;
mod watch;
pub(crate) mod wire;

pub use self::decode::{DecodeError, decode_fields};
pub use self::encode::EncodeError;
pub use self::envelope::{ENVELOPE_TAIL, RuntimeUnknown, TypeMeta, decode_envelope, encode_object, envelope_head};
pub use self::list::{list_head, list_item, list_opening};
pub use self::watch::watch_event;

/// The media type of an object.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

#[cfg(test)]
pub(crate) mod tests;
