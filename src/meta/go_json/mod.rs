//! JSON decoding with the semantics of Go's `encoding/json`, for manifests and configurations,
//! whose errors clients see.
//!
//! Unlike serde_json: keys match regardless of case, a repeated key is decoded into the same value
//! again, `null` leaves plain values unchanged, and errors have Go's texts.

mod decode;
mod parse;

pub(crate) use decode::{Decode, Decoder, Struct};

/// Error text of Go's `encoding/json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GoJsonError(String);

/// JSON value. Objects keep the order of keys and repeated keys.
#[derive(Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Decodes `text` into a new `T`. A syntax error takes precedence over a type error.
pub(crate) fn read<T: Struct + Default>(text: &str) -> Result<T, GoJsonError> {
    decode::decode(&parse::parse(text)?)
}

/// Returns Go's error for a text that is not valid JSON.
pub(crate) fn syntax_error(text: &str) -> Option<GoJsonError> {
    parse::parse(text).err()
}
