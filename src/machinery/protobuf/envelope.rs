//! What Kubernetes puts around a message: four bytes that tell it from other data, and a message `Unknown` that says what is
//! inside of it.

use super::decode::Unreadable;
use super::encode::{self, OwnType, Unwritable};
use super::wire::{self, Reader, Value};
use crate::meta::protobuf::MessageDescriptor;

/// What every object begins with.
const PREFIX: &[u8; 4] = b"k8s\0";

/// What stands behind the message: that it is neither compressed nor in another media type.
pub const TAIL: [u8; 4] = [0x1a, 0, 0x22, 0];

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
pub struct Typed<'a> {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The message, not yet read.
    pub message: &'a [u8],
}

/// What stands before a message of `length` bytes; [`TAIL`] stands behind it.
pub fn head(is: TypeMeta<'_>, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    opening(is, &mut out);
    raw(length, &mut out);
    out
}

/// Appends what an object begins with, however long it is.
pub(super) fn opening(is: TypeMeta<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX);
    let start = out.len();
    wire::bytes(1, is.api_version.as_bytes(), out);
    wire::bytes(2, is.kind.as_bytes(), out);
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
pub fn object(message: &'static MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, Unwritable> {
    let mut content = Vec::with_capacity(json.len());
    let OwnType { api_version, kind } = encode::content(message, json, &mut content)?;
    let mut out = head(TypeMeta { api_version: &api_version, kind: &kind }, content.len());
    out.reserve_exact(content.len() + TAIL.len());
    out.append(&mut content);
    out.extend_from_slice(&TAIL);
    Ok(out)
}

/// Takes away what is around a message.
///
/// # Errors
/// The bytes are no object in protobuf.
pub fn open(bytes: &[u8]) -> Result<Typed<'_>, Unreadable> {
    let unknown = match bytes.strip_prefix(PREFIX) {
        None if bytes.is_empty() => return Err(Unreadable::Empty),
        None => return Err(Unreadable::Prefix),
        Some([]) => return Err(Unreadable::EmptyBody),
        Some(unknown) => unknown,
    };
    let mut typed = Typed { api_version: String::new(), kind: String::new(), message: &[] };
    let mut reader = Reader::new(unknown);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => read_type(inside("typeMeta", value)?, &mut typed)?,
            2 => typed.message = inside("raw", value)?,
            _ => {}
        }
    }
    Ok(typed)
}

fn read_type(message: &[u8], typed: &mut Typed<'_>) -> Result<(), Unreadable> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => typed.api_version = text("apiVersion", value)?,
            2 => typed.kind = text("kind", value)?,
            _ => {}
        }
    }
    Ok(())
}

fn inside<'a>(field: &'static str, value: Value<'a>) -> Result<&'a [u8], Unreadable> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        other => Err(Unreadable::Form { form: other.form(), field }),
    }
}

fn text(field: &'static str, value: Value<'_>) -> Result<String, Unreadable> {
    String::from_utf8(inside(field, value)?.to_vec()).map_err(|_| Unreadable::Text(field))
}
