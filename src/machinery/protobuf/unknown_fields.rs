//! Unknown fields of a stored message, which a rewrite by this program keeps.
//!
//! A newer API server may store fields that the message tables lack. Kubernetes' generated code
//! drops them; this program does not own the values of others and keeps them.

use super::wire::{self, EncodedField, WireError, WireReader, WireValue};
use crate::meta::protobuf::{Cardinality, FieldDescriptor, FieldType, MessageDescriptor};

/// Returns `new` with the unknown fields of `old`, both encoded messages of this type. Unknown
/// fields follow the known ones. An item of a list gets those of the old item with the same first
/// field, such as its name.
///
/// # Errors
/// One of the two is not a message.
pub fn keep_unknown_fields(
    message: &MessageDescriptor,
    old: &[u8],
    new: &[u8],
) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(new.len());
    merge(message, old, new, &mut out)?;
    Ok(out)
}

/// Returns true if an encoded message of this type, or a message inside of it, has unknown fields.
///
/// # Errors
/// It is not a message.
pub fn has_unknown_fields(message: &MessageDescriptor, bytes: &[u8]) -> Result<bool, WireError> {
    let mut reader = WireReader::new(bytes);
    while let Some((number, value)) = reader.next()? {
        let is_unknown = match (message_field(message, number), value) {
            (Some((_, inner)), WireValue::Bytes(content)) => has_unknown_fields(inner, content)?,
            _ => field_of(message, number).is_none(),
        };
        if is_unknown {
            return Ok(true);
        }
    }
    Ok(false)
}

fn merge(
    message: &MessageDescriptor,
    old: &[u8],
    new: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let mut old_messages = messages_of(message, old)?;
    let mut reader = WireReader::new(new);
    while let Some(EncodedField { number, value, encoded }) = reader.next_encoded()? {
        match (message_field(message, number), value) {
            (Some((field, inner)), WireValue::Bytes(content)) => {
                let start = out.len();
                match take_counterpart(&mut old_messages, field, inner, content)? {
                    Some(old) => merge(inner, old, content, out)?,
                    None => out.extend_from_slice(content),
                }
                wire::enclose(number, start, out);
            }
            _ => out.extend_from_slice(encoded),
        }
    }
    let mut reader = WireReader::new(old);
    while let Some(EncodedField { number, encoded, .. }) = reader.next_encoded()? {
        if field_of(message, number).is_none() {
            out.extend_from_slice(encoded);
        }
    }
    Ok(())
}

/// The messages inside of a message, with the numbers of their fields.
fn messages_of<'a>(
    message: &MessageDescriptor,
    bytes: &'a [u8],
) -> Result<Vec<(u32, &'a [u8])>, WireError> {
    let mut found = Vec::new();
    let mut reader = WireReader::new(bytes);
    while let Some((number, value)) = reader.next()? {
        if let (Some(_), WireValue::Bytes(content)) = (message_field(message, number), value) {
            found.push((number, content));
        }
    }
    Ok(found)
}

/// Takes the old message that corresponds to a new one.
fn take_counterpart<'a>(
    old: &mut Vec<(u32, &'a [u8])>,
    field: &FieldDescriptor,
    inner: &MessageDescriptor,
    content: &[u8],
) -> Result<Option<&'a [u8]>, WireError> {
    let is_item = field.cardinality == Cardinality::Repeated;
    let key = if is_item { first_field(inner, content)? } else { None };
    for at in 0..old.len() {
        let (number, candidate) = old[at];
        if number == field.number && (!is_item || first_field(inner, candidate)? == key) {
            return Ok(Some(old.remove(at).1));
        }
    }
    Ok(None)
}

/// The encoded first field of a message, which identifies an item of a list.
fn first_field<'a>(
    message: &MessageDescriptor,
    bytes: &'a [u8],
) -> Result<Option<&'a [u8]>, WireError> {
    let mut reader = WireReader::new(bytes);
    while let Some(EncodedField { number, encoded, .. }) = reader.next_encoded()? {
        if message.fields.first().is_some_and(|field| field.number == number) {
            return Ok(Some(encoded));
        }
    }
    Ok(None)
}

fn field_of(message: &MessageDescriptor, number: u32) -> Option<&FieldDescriptor> {
    let at = message.fields.binary_search_by_key(&number, |field| field.number).ok()?;
    Some(&message.fields[at])
}

/// The field of this number if it holds messages with fields of their own.
fn message_field(
    message: &MessageDescriptor,
    number: u32,
) -> Option<(&FieldDescriptor, &'static MessageDescriptor)> {
    let field = field_of(message, number)?;
    match (field.cardinality, field.field_type) {
        (Cardinality::Map, _) => None,
        (_, FieldType::Message(inner) | FieldType::Inline(inner)) => Some((field, inner)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::protobuf::{repeated, required};

    static ITEM: MessageDescriptor = MessageDescriptor {
        name: "Item",
        fields: &[required(1, "name", FieldType::String), required(2, "size", FieldType::Int64)],
    };
    static OUTER: MessageDescriptor = MessageDescriptor {
        name: "Outer",
        fields: &[
            required(1, "item", FieldType::Message(&ITEM)),
            repeated(2, "items", FieldType::Message(&ITEM)),
        ],
    };

    /// An item, with an unknown field.
    fn item(name: &str, size: u64, unknown: Option<&str>) -> Vec<u8> {
        let mut out = Vec::new();
        wire::bytes(1, name.as_bytes(), &mut out);
        wire::number(2, size, &mut out);
        if let Some(unknown) = unknown {
            wire::bytes(9, unknown.as_bytes(), &mut out);
        }
        out
    }

    fn outer(one: &[u8], items: &[Vec<u8>], unknown: Option<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        wire::bytes(1, one, &mut out);
        items.iter().for_each(|item| wire::bytes(2, item, &mut out));
        if let Some(unknown) = unknown {
            wire::number(70, unknown, &mut out);
        }
        out
    }

    #[test]
    fn unknown_fields_of_every_level_are_kept() {
        let old = outer(
            &item("one", 1, Some("u")),
            &[item("a", 1, Some("ua")), item("b", 1, None), item("gone", 1, Some("x"))],
            Some(7),
        );
        let new = outer(&item("two", 2, None), &[item("b", 2, None), item("a", 2, None)], None);
        let expected = outer(
            &item("two", 2, Some("u")),
            &[item("b", 2, None), item("a", 2, Some("ua"))],
            Some(7),
        );
        assert_eq!(keep_unknown_fields(&OUTER, &old, &new).unwrap(), expected);
    }

    #[test]
    fn message_without_unknown_fields_is_unchanged() {
        let old = outer(&item("one", 1, None), &[item("a", 1, None)], None);
        let new = outer(&item("two", 300, None), &[item("b", 2, None)], None);
        assert_eq!(keep_unknown_fields(&OUTER, &old, &new).unwrap(), new);
    }

    #[test]
    fn items_with_one_name_keep_their_order() {
        let old = outer(b"", &[item("a", 1, Some("u1")), item("a", 2, Some("u2"))], None);
        let new = outer(b"", &[item("a", 3, None), item("a", 4, None)], None);
        let expected = outer(b"", &[item("a", 3, Some("u1")), item("a", 4, Some("u2"))], None);
        assert_eq!(keep_unknown_fields(&OUTER, &old, &new).unwrap(), expected);
    }
}
