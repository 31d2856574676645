//! Fields that are `null` on the wire if they are empty, like nil slices in Go.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes an empty list as `null`. The schema of the field needs `nullable`.
pub(super) fn list<T: Serialize, S: Serializer>(
    items: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match items {
        [] => serializer.serialize_none(),
        items => items.serialize(serializer),
    }
}

/// Reads `null` as the default value.
pub(super) fn or_empty<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
