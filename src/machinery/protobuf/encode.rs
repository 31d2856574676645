//! From JSON to protobuf in one pass over the text, with nothing built of it but the bytes themselves.
//!
//! Fields come in JSON's order and leave in that of their numbers. So each message is first written as it comes, with a
//! note of where each field is, and is put in order when it is complete. Values that Go has no pointer for are written
//! though they are zero; objects with keys of any name are written in the order of their keys, in which JSON has them.

use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::wire;
use crate::meta::Time;
use crate::meta::protobuf::{Cardinality, FieldDescriptor, FieldType, MessageDescriptor};

/// Why JSON cannot be written as protobuf: it is not what the message says. No object of this server is like that.
#[derive(Debug, thiserror::Error)]
#[error("an object cannot be written as protobuf: {0}")]
pub struct Unwritable(#[from] serde_json::Error);

/// What an object says it is.
#[derive(Debug, Default)]
pub(super) struct OwnType {
    pub(super) api_version: String,
    pub(super) kind: String,
}

/// Appends the content of a message and says what the object in JSON says it is.
pub(super) fn content(
    message: &'static MessageDescriptor,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<OwnType, Unwritable> {
    let mut writer = Writer { out: std::mem::take(out), places: Vec::new(), spare: Vec::new() };
    let mut own_type = OwnType::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let whole = Content { message, writer: &mut writer, own_type: Some(&mut own_type) };
    let read = whole.deserialize(&mut reader).and_then(|()| reader.end());
    *out = writer.out;
    read?;
    Ok(own_type)
}

struct Writer {
    out: Vec<u8>,
    /// Where in `out` the fields are, of all messages that are not yet complete; an empty place is a field that is missing.
    places: Vec<Range<usize>>,
    /// Room for putting a message in order.
    spare: Vec<u8>,
}

impl Writer {
    /// Puts the message that was written since `start` in order. Its fields are the last places, from `first` on.
    fn arrange(&mut self, message: &'static MessageDescriptor, first: usize, start: usize) {
        let Self { out, places, spare } = self;
        spare.clear();
        let mut places_left = places.drain(first..);
        let mut put = |field: &FieldDescriptor, spare: &mut Vec<u8>| match places_left.next() {
            Some(place) if !place.is_empty() => spare.extend_from_slice(&out[place]),
            _ => write_unset(field, spare),
        };
        for field in message.fields {
            let FieldType::Inline(inner) = field.field_type else {
                put(field, spare);
                continue;
            };
            let start = spare.len();
            inner.fields.iter().for_each(|field| put(field, spare));
            wire::enclose(field.number, start, spare);
        }
        drop(places_left);
        out.truncate(start);
        out.append(spare);
    }
}

/// What is written of a field that has no value.
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

/// The fields of a message.
struct Content<'a> {
    message: &'static MessageDescriptor,
    writer: &'a mut Writer,
    /// Where kind and version go, if the object may have them.
    own_type: Option<&'a mut OwnType>,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object {}", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { message, writer, mut own_type } = self;
        let (start, first) = (writer.out.len(), writer.places.len());
        writer.places.extend(message.keys().map(|_| 0..0));
        while let Some(key) = map.next_key_seed(Key(message))? {
            match (key, &mut own_type) {
                (Known::Field(at, field), _) => {
                    let from = writer.out.len();
                    map.next_value_seed(Values { field, writer })?;
                    writer.places[first + at] = from..writer.out.len();
                }
                (Known::Kind, Some(own_type)) => own_type.kind = map.next_value()?,
                (Known::ApiVersion, Some(own_type)) => own_type.api_version = map.next_value()?,
                (Known::Kind | Known::ApiVersion, None) => {
                    return Err(A::Error::custom(format_args!("{} says its kind inside of another", message.name)));
                }
            }
        }
        writer.arrange(message, first, start);
        Ok(())
    }
}

/// A key of an object that is a message.
struct Key(&'static MessageDescriptor);

/// What a key names.
enum Known {
    /// The field with this place among the keys of the message.
    Field(usize, &'static FieldDescriptor),
    Kind,
    ApiVersion,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Known;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Known, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Known;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a field of {}", self.0.name)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Known, E> {
        match (self.0.keys().enumerate().find(|(_, field)| field.name == key), key) {
            (Some((at, field)), _) => Ok(Known::Field(at, field)),
            (None, "kind") => Ok(Known::Kind),
            (None, "apiVersion") => Ok(Known::ApiVersion),
            (None, key) => Err(E::custom(format_args!("{} has no field {key}", self.0.name))),
        }
    }
}

/// All values of a field.
struct Values<'a> {
    field: &'static FieldDescriptor,
    writer: &'a mut Writer,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field: &FieldDescriptor { number, field_type: form, cardinality, .. }, writer } = self;
        match cardinality {
            Cardinality::Required | Cardinality::Optional => One { number, form, writer }.deserialize(deserializer),
            Cardinality::Repeated => deserializer.deserialize_any(Each { number, form, writer }),
            Cardinality::Map => deserializer.deserialize_any(Keyed { number, form, writer }),
        }
    }
}

/// The items of a list.
struct Each<'a> {
    number: u32,
    form: FieldType,
    writer: &'a mut Writer,
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { number, form, writer } = self;
        while items.next_element_seed(One { number, form, writer })?.is_some() {}
        Ok(())
    }
}

/// The keys of an object, with their values.
struct Keyed<'a> {
    number: u32,
    form: FieldType,
    writer: &'a mut Writer,
}

impl<'de> Visitor<'de> for Keyed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { number, form, writer } = self;
        while let Some(key) = map.next_key::<String>()? {
            let start = writer.out.len();
            wire::bytes(1, key.as_bytes(), &mut writer.out);
            map.next_value_seed(One { number: 2, form, writer })?;
            wire::enclose(number, start, &mut writer.out);
        }
        Ok(())
    }
}

/// One value, with its tag. Of `null` nothing is written.
struct One<'a> {
    number: u32,
    form: FieldType,
    writer: &'a mut Writer,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let (number, out) = (self.number, &mut self.writer.out);
        let line_end: &[u8] = match self.form {
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

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of the form {:?}", self.form)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.form {
            FieldType::Bool => wire::number(self.number, value.into(), &mut self.writer.out),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.form {
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
        match self.form {
            FieldType::String => wire::bytes(self.number, text.as_bytes(), out),
            FieldType::Bytes => wire::bytes(self.number, &STANDARD.decode(text).map_err(E::custom)?, out),
            FieldType::Time => time(self.number, text.parse().map_err(E::custom)?, out),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<(), A::Error> {
        let Self { number, form: FieldType::StringList, writer } = self else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let start = writer.out.len();
        while texts.next_element_seed(One { number: 1, form: FieldType::String, writer })?.is_some() {}
        wire::enclose(number, start, &mut writer.out);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { number, form: FieldType::Message(message), writer } = self else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let start = writer.out.len();
        Content { message, writer, own_type: None }.visit_map(map)?;
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
