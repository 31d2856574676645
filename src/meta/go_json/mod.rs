//! JSON as Go's `encoding/json` reads it, for texts that registries wrote and clients get to see errors about.
//!
//! Differs from serde_json in what it accepts: keys are matched without regard to case, a key that comes twice is read
//! twice into the same place, and `null` leaves plain values as they are. Errors have Go's wording, for clients show
//! them.

mod decode;
mod parse;

pub(crate) use decode::{Decode, Decoder, Struct};

/// Why a text cannot be read, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GoJsonError(String);

/// A value, with the keys of objects in the order of the text and with doubles.
#[derive(Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Reads `text` into a new `T`. Syntax faults anywhere come before the first value of a wrong type.
pub(crate) fn read<T: Struct + Default>(text: &str) -> Result<T, GoJsonError> {
    decode::decode(&parse::parse(text)?)
}

/// What Go says of a text that is no JSON; none for one that is.
pub(crate) fn syntax_error(text: &str) -> Option<GoJsonError> {
    parse::parse(text).err()
}
