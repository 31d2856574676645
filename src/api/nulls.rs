//! Fields that are `null` on the wire when they are empty.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a list, or `null` for one without items.
pub(super) fn list<T: Serialize, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    match items {
        [] => serializer.serialize_none(),
        items => items.serialize(serializer),
    }
}

/// Reads what may be `null`, which is the same as nothing.
pub(super) fn or_empty<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
