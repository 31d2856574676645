//! Streaming encoder for lists. A list is a message with metadata (field 1) and items (field 2);
//! the envelope states its total length.

use super::encode::{self, EncodeError};
use super::envelope::{self, TypeMeta};
use super::wire;
use crate::meta::protobuf::{FieldType, LIST_META, MessageDescriptor, repeated, required};

/// A list with items of any kind.
const LIST: MessageDescriptor = MessageDescriptor {
    name: "List",
    fields: &[
        required(1, "metadata", FieldType::Message(&LIST_META)),
        repeated(2, "items", FieldType::Json),
    ],
};

/// Appends the start of a list that does not depend on its length, from the JSON of the list
/// without items.
///
/// # Errors
/// The JSON is not a list.
pub fn list_opening(list: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let type_meta = encode::encode_message(&LIST, list, &mut Vec::new())?;
    envelope::opening(TypeMeta { api_version: &type_meta.api_version, kind: &type_meta.kind }, out);
    Ok(())
}

/// Appends the part between the opening and the items of a list; `items` is the total length of the
/// encoded items in bytes.
///
/// # Errors
/// The JSON is not a list.
pub fn list_head(list: &[u8], items: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut metadata = Vec::new();
    encode::encode_message(&LIST, list, &mut metadata)?;
    envelope::raw(metadata.len() + items, out);
    out.append(&mut metadata);
    Ok(())
}

/// Appends an item from its JSON, without `kind` and `apiVersion`.
///
/// # Errors
/// The JSON does not match the message.
pub fn list_item(
    message: &'static MessageDescriptor,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    encode::encode_message(message, json, out)?;
    wire::enclose(2, start, out);
    Ok(())
}
