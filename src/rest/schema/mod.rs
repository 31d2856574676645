//! What a kind looks like, for what edits JSON: which fields there are, how lists and maps merge, who may own what.

use serde_json::Value;

use crate::meta::Kind;

/// The shape of a kind. Made once by whoever serves the kind.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The kind as it stands in `kind`.
    pub kind: &'static str,
    /// An object of the kind of which nobody has set anything.
    pub empty: Value,
}

impl Schema {
    /// The shape of `T`, read off its Rust type.
    pub fn of<T: Kind>() -> Self {
        Self { kind: T::KIND, empty: serde_json::to_value(T::default()).unwrap_or_default() }
    }
}
