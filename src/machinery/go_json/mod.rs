//! JSON decoding with the semantics of Go's `encoding/json`, for everything that clients write:
//! bodies, patches, manifests and image configurations.
//!
//! A text is first checked as a whole, so that a syntax error precedes all others. Then one
//! [`JsonReader`] walks over it: typed values read it with [`Decode`], all others with serde.
//!
//! Unlike serde_json: a lone surrogate and a byte that is not UTF-8 become U+FFFD, numbers that are
//! not read may be out of range, a repeated key is decoded into the same value again, and errors
//! have Go's texts. Typed values match keys regardless of case, and `null` leaves plain values
//! unchanged.

mod decode;
mod deserializer;
mod reader;
mod string;
mod syntax;
mod value;

pub(crate) use decode::{Decode, Decoder, Struct, read, same_key};
pub(crate) use reader::JsonReader;
pub(crate) use value::{RepeatedKeys, to_value};

/// Error text of Go's `encoding/json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GoJsonError(String);

/// A text that is valid JSON for Go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonText<'a>(&'a [u8]);

impl<'a> JsonText<'a> {
    /// Checks a text.
    ///
    /// # Errors
    /// The syntax error of Go's scanner.
    pub(crate) fn check(text: &'a [u8]) -> Result<Self, GoJsonError> {
        syntax::check(text).map(|()| Self(text))
    }

    /// A reader at the start of the text.
    pub(crate) fn reader(self) -> JsonReader<'a> {
        JsonReader::new(self)
    }
}
