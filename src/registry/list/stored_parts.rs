//! Objects of which only the metadata are decoded, because a response contains the other fields as
//! they are stored.

use bytes::Bytes;

use crate::machinery::json;
use crate::meta::ObjectMeta;
use crate::store::Key;

/// The metadata of an object, and its other fields in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredParts {
    /// The key of the entry.
    pub(crate) key: Key,
    /// The metadata.
    pub(crate) metadata: ObjectMeta,
    /// The JSON after the metadata: the other fields, each behind a comma, and the closing brace.
    pub(crate) others: Bytes,
}

impl StoredParts {
    /// Appends the JSON of the object.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(METADATA);
        json::encode_into(&self.metadata, out);
        out.extend_from_slice(&self.others);
    }
}

const METADATA: &[u8] = br#"{"metadata":"#;

/// Splits the stored JSON of an object behind its metadata, which are its first field after
/// position `start`. None for any other JSON.
pub fn split(value: &Bytes, start: usize) -> Option<(ObjectMeta, Bytes)> {
    let text = value.get(start..)?.strip_prefix(&METADATA[1..])?;
    let mut values = serde_json::Deserializer::from_slice(text).into_iter();
    let metadata = values.next()?.ok()?;
    let end = value.len() - text.len() + values.byte_offset();
    Some((metadata, value.slice(end..)))
}
