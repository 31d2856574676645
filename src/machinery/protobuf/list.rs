//! Lists, piece by piece. A list is metadata (1) and items (2); before them stands how long all of them are.

use super::encode::{self, EncodeError};
use super::envelope::{self, TypeMeta};
use super::wire;
use crate::meta::protobuf::{FieldType, LIST_META, MessageDescriptor, repeated, required};

/// A list, whatever its items are.
const LIST: MessageDescriptor = MessageDescriptor {
    name: "List",
    fields: &[required(1, "metadata", FieldType::Message(&LIST_META)), repeated(2, "items", FieldType::Json)],
};

/// Appends what a list begins with, however long it is, from the JSON of the list without items.
///
/// # Errors
/// The JSON is no list.
pub fn list_opening(list: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let type_meta = encode::encode_message(&LIST, list, &mut Vec::new())?;
    envelope::opening(TypeMeta { api_version: &type_meta.api_version, kind: &type_meta.kind }, out);
    Ok(())
}

/// Appends what stands between the opening and the items of a list, which take so many bytes.
///
/// # Errors
/// The JSON is no list.
pub fn list_head(list: &[u8], items: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut metadata = Vec::new();
    encode::encode_message(&LIST, list, &mut metadata)?;
    envelope::raw(metadata.len() + items, out);
    out.append(&mut metadata);
    Ok(())
}

/// Appends an item, from its JSON. Where that says kind and version, they are left out: items do not say them.
///
/// # Errors
/// The JSON is not what the message says.
pub fn list_item(message: &'static MessageDescriptor, json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    encode::encode_message(message, json, out)?;
    wire::enclose(2, start, out);
    Ok(())
}
