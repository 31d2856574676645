//! Unknown fields of a stored message.

use std::sync::Arc;

/// The message that an object was decoded from, if it has fields that its descriptor lacks. A
/// rewrite of the object keeps them. Part of no API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownFields(Option<Arc<[u8]>>);

impl UnknownFields {
    /// The unknown fields of this encoded message.
    pub fn of(message: &[u8]) -> Self {
        Self(Some(message.into()))
    }

    /// The encoded message that has unknown fields; `None` if there are none.
    pub fn message(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }
}
