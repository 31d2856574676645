//! The envelope of a message: a prefix of four bytes and a `runtime.Unknown` that holds the message
//! (`k8s.io/apimachinery/pkg/runtime/serializer/protobuf`).

use super::decode::DecodeError;
use super::encode::{self, EncodeError, OwnedTypeMeta};
use super::wire::{self, WireReader, WireValue};
use crate::meta::protobuf::MessageDescriptor;

/// `protoEncodingPrefix`, the first bytes of every object.
const PREFIX: &[u8; 4] = b"k8s\0";

/// The fields of `runtime.Unknown` after the message: no content encoding and no content type.
pub const ENVELOPE_TAIL: [u8; 4] = [0x1a, 0, 0x22, 0];

/// `kind` and `apiVersion` of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeMeta<'a> {
    /// Group and version; may be empty.
    pub api_version: &'a str,
    /// The kind.
    pub kind: &'a str,
}

/// A decoded envelope (`runtime.Unknown`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeUnknown<'a> {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The encoded message.
    pub message: &'a [u8],
}

/// The envelope before a message of `length` bytes. [`ENVELOPE_TAIL`] follows the message.
pub fn envelope_head(type_meta: TypeMeta<'_>, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    opening(type_meta, &mut out);
    raw(length, &mut out);
    out
}

/// Appends the part of the envelope that does not depend on the length of the message.
pub(super) fn opening(type_meta: TypeMeta<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX);
    let start = out.len();
    wire::bytes(1, type_meta.api_version.as_bytes(), out);
    wire::bytes(2, type_meta.kind.as_bytes(), out);
    wire::enclose(1, start, out);
}

/// Appends the part of the envelope between the opening and a message of `length` bytes.
pub(super) fn raw(length: usize, out: &mut Vec<u8>) {
    wire::length(2, length, out);
}

/// Encodes an object with its envelope, from JSON with `kind` and `apiVersion`.
///
/// # Errors
/// The JSON does not match the message.
pub fn encode_object(
    message: &'static MessageDescriptor,
    json: &[u8],
) -> Result<Vec<u8>, EncodeError> {
    let mut content = Vec::with_capacity(json.len());
    let OwnedTypeMeta { api_version, kind } = encode::encode_message(message, json, &mut content)?;
    let mut out = envelope_head(TypeMeta { api_version: &api_version, kind: &kind }, content.len());
    out.reserve_exact(content.len() + ENVELOPE_TAIL.len());
    out.append(&mut content);
    out.extend_from_slice(&ENVELOPE_TAIL);
    Ok(out)
}

/// Decodes the envelope of a message.
///
/// # Errors
/// The bytes are not a Kubernetes object in protobuf.
pub fn decode_envelope(bytes: &[u8]) -> Result<RuntimeUnknown<'_>, DecodeError> {
    let body = match bytes.strip_prefix(PREFIX) {
        None if bytes.is_empty() => return Err(DecodeError::Empty),
        None => return Err(DecodeError::Prefix),
        Some([]) => return Err(DecodeError::EmptyBody),
        Some(body) => body,
    };
    let mut unknown =
        RuntimeUnknown { api_version: String::new(), kind: String::new(), message: &[] };
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
