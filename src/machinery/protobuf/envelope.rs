//! What Kubernetes puts around a message: four bytes that tell it from other data, and a message `Unknown` that says what is
//! inside of it.

use super::decode::DecodeError;
use super::encode::{self, EncodeError, OwnedTypeMeta};
use super::wire::{self, WireReader, WireValue};
use crate::meta::protobuf::MessageDescriptor;

/// What every object begins with.
const PREFIX: &[u8; 4] = b"k8s\0";

/// What stands behind the message: that it is neither compressed nor in another media type.
pub const ENVELOPE_TAIL: [u8; 4] = [0x1a, 0, 0x22, 0];

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeMeta<'a> {
    /// Group and version; empty for an object that says none.
    pub api_version: &'a str,
    /// The kind.
    pub kind: &'a str,
}

/// An object as it was received: what it says it is, and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeUnknown<'a> {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The message, not yet read.
    pub message: &'a [u8],
}

/// What stands before a message of `length` bytes; [`ENVELOPE_TAIL`] stands behind it.
pub fn envelope_head(type_meta: TypeMeta<'_>, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    opening(type_meta, &mut out);
    raw(length, &mut out);
    out
}

/// Appends what an object begins with, however long it is.
pub(super) fn opening(type_meta: TypeMeta<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX);
    let start = out.len();
    wire::bytes(1, type_meta.api_version.as_bytes(), out);
    wire::bytes(2, type_meta.kind.as_bytes(), out);
    wire::enclose(1, start, out);
}

/// Appends what stands between the opening and a message of `length` bytes.
pub(super) fn raw(length: usize, out: &mut Vec<u8>) {
    wire::length(2, length, out);
}

/// An object with all that belongs around it, from its JSON, which says its kind and version.
///
/// # Errors
/// The JSON is not what the message says.
pub fn encode_object(message: &'static MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut content = Vec::with_capacity(json.len());
    let OwnedTypeMeta { api_version, kind } = encode::encode_message(message, json, &mut content)?;
    let mut out = envelope_head(TypeMeta { api_version: &api_version, kind: &kind }, content.len());
    out.reserve_exact(content.len() + ENVELOPE_TAIL.len());
    out.append(&mut content);
    out.extend_from_slice(&ENVELOPE_TAIL);
    Ok(out)
}

/// Takes away what is around a message.
///
/// # Errors
/// The bytes are no object in protobuf.
pub fn decode_envelope(bytes: &[u8]) -> Result<RuntimeUnknown<'_>, DecodeError> {
    let body = match bytes.strip_prefix(PREFIX) {
        None if bytes.is_empty() => return Err(DecodeError::Empty),
        None => return Err(DecodeError::Prefix),
        Some([]) => return Err(DecodeError::EmptyBody),
        Some(body) => body,
    };
    let mut unknown = RuntimeUnknown { api_version: String::new(), kind: String::new(), message: &[] };
    let mut reader = WireReader::new(body);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => read_type(bytes_of("typeMeta", value)?, &mut unknown)?,
            2 => unknown.message = bytes_of("raw", value)?,
            _ => {}
        }
    }
    Ok(unknown)
}

fn read_type(message: &[u8], unknown: &mut RuntimeUnknown<'_>) -> Result<(), DecodeError> {
    let mut reader = WireReader::new(message);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => unknown.api_version = text("apiVersion", value)?,
            2 => unknown.kind = text("kind", value)?,
            _ => {}
        }
    }
    Ok(())
}

fn bytes_of<'a>(field: &'static str, value: WireValue<'a>) -> Result<&'a [u8], DecodeError> {
    match value {
        WireValue::Bytes(bytes) => Ok(bytes),
        other => Err(DecodeError::WireType { wire_type: other.wire_type(), field }),
    }
}

fn text(field: &'static str, value: WireValue<'_>) -> Result<String, DecodeError> {
    String::from_utf8(bytes_of(field, value)?.to_vec()).map_err(|_| DecodeError::InvalidUtf8(field))
}
