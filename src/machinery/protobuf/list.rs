//! Lists, piece by piece. A list is metadata (1) and items (2); before them stands how long all of them are.

use super::encode::{self, Unwritable};
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
pub fn list_opening(list: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let own_type = encode::content(&LIST, list, &mut Vec::new())?;
    envelope::opening(TypeMeta { api_version: &own_type.api_version, kind: &own_type.kind }, out);
    Ok(())
}

/// Appends what stands between the opening and the items of a list, which take so many bytes.
///
/// # Errors
/// The JSON is no list.
pub fn list_head(list: &[u8], items: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut metadata = Vec::new();
    encode::content(&LIST, list, &mut metadata)?;
    envelope::raw(metadata.len() + items, out);
    out.append(&mut metadata);
    Ok(())
}

/// Appends an item, from its JSON. Where that says kind and version, they are left out: items do not say them.
///
/// # Errors
/// The JSON is not what the message says.
pub fn item(message: &'static MessageDescriptor, json: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let start = out.len();
    encode::content(message, json, out)?;
    wire::enclose(2, start, out);
    Ok(())
}
