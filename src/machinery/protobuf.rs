//! Protobuf encoding of Kubernetes objects by way of JSON. Responses are translated from JSON,
//! requests into it, so that defaulting and validation exist only once, for JSON.
//!
//! [`crate::meta::protobuf`] describes the messages. The output equals that of Kubernetes'
//! generated code byte for byte.

mod decode;
mod encode;
mod envelope;
mod list;
mod unknown_fields;
mod watch;
pub(crate) mod wire;

pub use self::decode::{DecodeError, decode_fields};
pub use self::encode::EncodeError;
pub use self::envelope::{
    ENVELOPE_TAIL, RuntimeUnknown, TypeMeta, decode_envelope, encode_object, envelope_head,
};
pub use self::list::{list_head, list_item, list_opening};
pub use self::unknown_fields::{has_unknown_fields, keep_unknown_fields};
pub use self::watch::watch_event;
pub use self::wire::WireError;

/// Media type of objects in protobuf.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

#[cfg(test)]
pub(crate) mod tests;
