//! Protobuf encoder: translates JSON in one pass over the text, without intermediate values.
//!
//! Fields arrive in the order of the JSON and must be written in the order of their numbers. So a
//! message is first written in the order of arrival, with the range of each field, and sorted when
//! it is complete. Zero values are written for fields that are not pointers in Go. Entries of maps
//! keep the order of the JSON, which is sorted by key.

use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::wire;
use crate::meta::Time;
use crate::meta::protobuf::{Cardinality, FieldDescriptor, FieldType, MessageDescriptor};

/// Error for JSON that does not match its message. Does not occur for objects of this server.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the object as protobuf: {0}")]
pub struct EncodeError(#[from] serde_json::Error);

/// `kind` and `apiVersion` of an object.
#[derive(Debug, Default)]
pub(super) struct OwnedTypeMeta {
    pub(super) api_version: String,
    pub(super) kind: String,
}

/// Appends the content of a message and returns `kind` and `apiVersion` of the object in JSON.
pub(super) fn encode_message(
    message: &'static MessageDescriptor,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<OwnedTypeMeta, EncodeError> {
    let mut writer =
        MessageWriter { out: std::mem::take(out), ranges: Vec::new(), scratch: Vec::new() };
    let mut type_meta = OwnedTypeMeta::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let whole = MessageSeed { message, writer: &mut writer, type_meta: Some(&mut type_meta) };
    let read = whole.deserialize(&mut reader).and_then(|()| reader.end());
    *out = writer.out;
    read?;
    Ok(type_meta)
}

struct MessageWriter {
    out: Vec<u8>,
    /// Ranges of the fields in `out`, for all incomplete messages; empty for a missing field.
    ranges: Vec<Range<usize>>,
    /// Buffer for sorting a message.
    scratch: Vec<u8>,
}

impl MessageWriter {
    /// Sorts the fields of the message that starts at `start`. Its ranges are those from `first`.
    fn sort_fields(&mut self, message: &'static MessageDescriptor, first: usize, start: usize) {
        let Self { out, ranges, scratch } = self;
        scratch.clear();
        let mut remaining = ranges.drain(first..);
        let mut put = |field: &FieldDescriptor, scratch: &mut Vec<u8>| match remaining.next() {
            Some(range) if !range.is_empty() => scratch.extend_from_slice(&out[range]),
            _ => write_unset(field, scratch),
        };
        for field in message.fields {
            let FieldType::Inline(inner) = field.field_type else {
                put(field, scratch);
                continue;
            };
            let start = scratch.len();
            inner.fields.iter().for_each(|field| put(field, scratch));
            wire::enclose(field.number, start, scratch);
        }
        drop(remaining);
        out.truncate(start);
        out.append(scratch);
    }
}

/// Writes the zero value of a field that is required and not set.
fn write_unset(field: &FieldDescriptor, out: &mut Vec<u8>) {
    if field.cardinality != Cardinality::Required {
        return;
    }
    match field.field_type {
        FieldType::Int64 | FieldType::Bool => wire::number(field.number, 0, out),
        FieldType::Message(message) | FieldType::Inline(message) => {
            let start = out.len();
            message.fields.iter().for_each(|field| write_unset(field, out));
            wire::enclose(field.number, start, out);
        }
        FieldType::String
        | FieldType::Bytes
        | FieldType::Time
        | FieldType::Json
        | FieldType::JsonLine
        | FieldType::StringList => {
            wire::length(field.number, 0, out);
        }
    }
}

/// Deserialization seed that writes the fields of a message.
struct MessageSeed<'a> {
    message: &'static MessageDescriptor,
    writer: &'a mut MessageWriter,
    /// Receives `kind` and `apiVersion`; none for messages that cannot have them.
    type_meta: Option<&'a mut OwnedTypeMeta>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object {}", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { message, writer, mut type_meta } = self;
        let (start, first) = (writer.out.len(), writer.ranges.len());
        writer.ranges.extend(message.keys().map(|_| 0..0));
        while let Some(key) = map.next_key_seed(KeySeed(message))? {
            match (key, &mut type_meta) {
                (MessageKey::Field(at, field), _) => {
                    let from = writer.out.len();
                    map.next_value_seed(FieldSeed { field, writer })?;
                    writer.ranges[first + at] = from..writer.out.len();
                }
                (MessageKey::Kind, Some(type_meta)) => type_meta.kind = map.next_value()?,
                (MessageKey::ApiVersion, Some(type_meta)) => {
                    type_meta.api_version = map.next_value()?
                }
                (MessageKey::Kind | MessageKey::ApiVersion, None) => {
                    return Err(A::Error::custom(format_args!(
                        "{} has kind or apiVersion but is inside of another message",
                        message.name
                    )));
                }
            }
        }
        writer.sort_fields(message, first, start);
        Ok(())
    }
}

/// Deserialization seed for a key of a message.
struct KeySeed(&'static MessageDescriptor);

/// A key of a message.
enum MessageKey {
    /// A field and its index among the keys of the message.
    Field(usize, &'static FieldDescriptor),
    Kind,
    ApiVersion,
}

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = MessageKey;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MessageKey, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = MessageKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a field of {}", self.0.name)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<MessageKey, E> {
        match (self.0.keys().enumerate().find(|(_, field)| field.name == key), key) {
            (Some((at, field)), _) => Ok(MessageKey::Field(at, field)),
            (None, "kind") => Ok(MessageKey::Kind),
            (None, "apiVersion") => Ok(MessageKey::ApiVersion),
            (None, key) => Err(E::custom(format_args!("{} has no field {key}", self.0.name))),
        }
    }
}

/// Deserialization seed that writes all values of a field.
struct FieldSeed<'a> {
    field: &'static FieldDescriptor,
    writer: &'a mut MessageWriter,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field: &FieldDescriptor { number, field_type, cardinality, .. }, writer } = self;
        match cardinality {
            Cardinality::Required | Cardinality::Optional => {
                ValueSeed { number, field_type, writer }.deserialize(deserializer)
            }
            Cardinality::Repeated => {
                deserializer.deserialize_any(ListVisitor { number, field_type, writer })
            }
            Cardinality::Map => {
                deserializer.deserialize_any(MapVisitor { number, field_type, writer })
            }
        }
    }
}

/// Writes the items of a list.
struct ListVisitor<'a> {
    number: u32,
    field_type: FieldType,
    writer: &'a mut MessageWriter,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { number, field_type, writer } = self;
        while items.next_element_seed(ValueSeed { number, field_type, writer })?.is_some() {}
        Ok(())
    }
}

/// Writes the entries of a map.
struct MapVisitor<'a> {
    number: u32,
    field_type: FieldType,
    writer: &'a mut MessageWriter,
}

impl<'de> Visitor<'de> for MapVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { number, field_type, writer } = self;
        while let Some(key) = map.next_key::<String>()? {
            let start = writer.out.len();
            wire::bytes(1, key.as_bytes(), &mut writer.out);
            map.next_value_seed(ValueSeed { number: 2, field_type, writer })?;
            wire::enclose(number, start, &mut writer.out);
        }
        Ok(())
    }
}

/// Deserialization seed that writes one value with its tag, and nothing for `null`.
struct ValueSeed<'a> {
    number: u32,
    field_type: FieldType,
    writer: &'a mut MessageWriter,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let (number, out) = (self.number, &mut self.writer.out);
        let line_end: &[u8] = match self.field_type {
            FieldType::Json => b"",
            FieldType::JsonLine => b"\n",
            _ => return deserializer.deserialize_any(self),
        };
        let json = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        if json != "null" {
            let start = out.len();
            wire::length(1, json.len() + line_end.len(), out);
            out.extend_from_slice(json.as_bytes());
            out.extend_from_slice(line_end);
            wire::enclose(number, start, out);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {:?}", self.field_type)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field_type {
            FieldType::Bool => wire::number(self.number, value.into(), &mut self.writer.out),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.field_type {
            FieldType::Int64 => wire::number(self.number, value, &mut self.writer.out),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Unsigned(value), &self)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_u64(value as u64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let out = &mut self.writer.out;
        match self.field_type {
            FieldType::String => wire::bytes(self.number, text.as_bytes(), out),
            FieldType::Bytes => {
                wire::bytes(self.number, &STANDARD.decode(text).map_err(E::custom)?, out)
            }
            FieldType::Time => time(self.number, text.parse().map_err(E::custom)?, out),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<(), A::Error> {
        let Self { number, field_type: FieldType::StringList, writer } = self else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let start = writer.out.len();
        while texts
            .next_element_seed(ValueSeed { number: 1, field_type: FieldType::String, writer })?
            .is_some()
        {}
        wire::enclose(number, start, &mut writer.out);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { number, field_type: FieldType::Message(message), writer } = self else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let start = writer.out.len();
        MessageSeed { message, writer, type_meta: None }.visit_map(map)?;
        wire::enclose(number, start, &mut writer.out);
        Ok(())
    }
}

fn time(number: u32, time: Time, out: &mut Vec<u8>) {
    let start = out.len();
    if !time.is_zero() {
        wire::number(1, time.unix_seconds() as u64, out);
        wire::number(2, 0, out);
    }
    wire::enclose(number, start, out);
}
