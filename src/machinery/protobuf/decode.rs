//! From protobuf to JSON, as Kubernetes' generated code reads it: the last of several values counts, messages that come in
//! pieces are put together, and what no field knows is passed over.
//!
//! Nothing is made room for because a length says so, and messages do not hold themselves, so what is built is bounded by
//! the bytes that are there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::wire::{self, Malformed, Reader};
use crate::machinery::values::{MOST_VALUES, cannot_be_too_many, marks};
use crate::meta::protobuf::{Cardinality, FieldDescriptor, FieldType, MessageDescriptor};
use crate::meta::{Time, go_json};

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There are none.
    #[error("empty data")]
    Empty,
    /// There is nothing behind the prefix.
    #[error("empty body")]
    EmptyBody,
    /// They do not begin with the prefix of Kubernetes.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// They are no message at all.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A field's value has another form than the field.
    #[error("proto: wrong wireType = {form} for field {field}")]
    Form {
        /// The form of the value, as a number of protobuf.
        form: u32,
        /// The field, by its key in JSON.
        field: &'static str,
    },
    /// There are more values than are read.
    #[error("there are too many values")]
    TooMany,
    /// A text is not in UTF-8.
    #[error("proto: the text of field {0} is not in UTF-8")]
    Text(&'static str),
    /// What should be JSON is none.
    #[error("{why} in field {field}")]
    Json {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The fields of a message, as JSON has them.
///
/// # Errors
/// The bytes are no such message.
pub fn fields(message: &MessageDescriptor, bytes: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    if !cannot_be_too_many(bytes) && values(message, bytes)? > MOST_VALUES {
        return Err(Unreadable::TooMany);
    }
    let mut fields = Map::new();
    read(message, bytes, &mut fields)?;
    Ok(fields)
}

/// How many values a message holds, and those inside of it.
fn values(message: &MessageDescriptor, bytes: &[u8]) -> Result<usize, Unreadable> {
    let (mut count, mut reader) = (0, Reader::new(bytes));
    while let Some((number, value)) = reader.next()? {
        let known = message.fields.binary_search_by_key(&number, |field| field.number);
        let form = known.map(|at| message.fields[at].field_type);
        count += 1;
        match (form, value) {
            (Ok(FieldType::Message(inner) | FieldType::Inline(inner)), wire::Value::Bytes(bytes)) => {
                count += values(inner, bytes)?;
            }
            (Ok(FieldType::Json | FieldType::JsonLine), wire::Value::Bytes(bytes)) => count += json_values(bytes)?,
            _ => {}
        }
    }
    Ok(count)
}

/// The number of values, but for the first, in the JSON that a message holds.
fn json_values(message: &[u8]) -> Result<usize, Unreadable> {
    let (mut count, mut reader) = (0, Reader::new(message));
    while let Some((number, value)) = reader.next()? {
        if let (1, wire::Value::Bytes(json)) = (number, value) {
            count += marks(json);
        }
    }
    Ok(count)
}

fn read(message: &MessageDescriptor, bytes: &[u8], into: &mut Map<String, Value>) -> Result<(), Unreadable> {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next()? {
        if let Ok(at) = message.fields.binary_search_by_key(&number, |field| field.number) {
            add(&message.fields[at], value, into)?;
        }
    }
    Ok(())
}

/// Adds a value of a field to those before it.
fn add(field: &FieldDescriptor, value: wire::Value<'_>, into: &mut Map<String, Value>) -> Result<(), Unreadable> {
    if let FieldType::Inline(message) = field.field_type {
        return read(message, bytes(field, value)?, into);
    }
    let empty = match (field.cardinality, field.field_type) {
        (Cardinality::Repeated, _) => Value::Array(Vec::new()),
        (Cardinality::Map, _) | (_, FieldType::Message(_)) => Value::Object(Map::new()),
        _ => Value::Null,
    };
    let present = into.entry(field.name).or_insert(empty);
    match (field.cardinality, present) {
        (Cardinality::Repeated, Value::Array(items)) => items.push(one(field, value, Value::Null)?),
        (Cardinality::Map, Value::Object(entries)) => {
            let (key, value) = entry(field, bytes(field, value)?)?;
            entries.insert(key, value);
        }
        (_, present) => *present = one(field, value, present.take())?,
    }
    Ok(())
}

/// A value, and of messages what came of it before.
fn one(field: &FieldDescriptor, value: wire::Value<'_>, before: Value) -> Result<Value, Unreadable> {
    Ok(match field.field_type {
        FieldType::Int64 => Value::from(number(field, value)? as i64),
        FieldType::Bool => Value::from(number(field, value)? != 0),
        FieldType::String => text(field, bytes(field, value)?)?.into(),
        FieldType::Bytes => STANDARD.encode(bytes(field, value)?).into(),
        FieldType::Time => time(field, bytes(field, value)?)?,
        FieldType::Json | FieldType::JsonLine => json(field, bytes(field, value)?)?,
        FieldType::StringList => texts(field, bytes(field, value)?)?,
        FieldType::Message(message) | FieldType::Inline(message) => {
            let mut fields = match before {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
            read(message, bytes(field, value)?, &mut fields)?;
            fields.into()
        }
    })
}

/// A key and its value; either is the empty one where it is not there.
fn entry(field: &FieldDescriptor, bytes: &[u8]) -> Result<(String, Value), Unreadable> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, part)) = reader.next()? {
        match number {
            1 => key = text(field, self::bytes(field, part)?)?,
            2 => value = Some(one(field, part, Value::Null)?),
            _ => {}
        }
    }
    let empty = match field.field_type {
        FieldType::Message(_) => Value::Object(Map::new()),
        _ => Value::String(String::new()),
    };
    Ok((key, value.unwrap_or(empty)))
}

fn bytes<'a>(field: &FieldDescriptor, value: wire::Value<'a>) -> Result<&'a [u8], Unreadable> {
    match value {
        wire::Value::Bytes(bytes) => Ok(bytes),
        other => Err(Unreadable::Form { form: other.form(), field: field.name }),
    }
}

fn number(field: &FieldDescriptor, value: wire::Value<'_>) -> Result<u64, Unreadable> {
    match value {
        wire::Value::Number(number) => Ok(number),
        other => Err(Unreadable::Form { form: other.form(), field: field.name }),
    }
}

fn text(field: &FieldDescriptor, bytes: &[u8]) -> Result<String, Unreadable> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Unreadable::Text(field.name))
}

/// The zero time is an empty message, and `null` in JSON. Nanoseconds do not count.
fn time(field: &FieldDescriptor, message: &[u8]) -> Result<Value, Unreadable> {
    if message.is_empty() {
        return Ok(Value::Null);
    }
    let mut seconds = 0;
    let mut reader = Reader::new(message);
    while let Some((at, value)) = reader.next()? {
        if at == 1 {
            seconds = number(field, value)? as i64;
        }
    }
    let time = Time::from_unix_seconds(seconds);
    Ok(if time.is_zero() { Value::Null } else { time.to_string().into() })
}

fn json(field: &FieldDescriptor, message: &[u8]) -> Result<Value, Unreadable> {
    let mut json: &[u8] = b"";
    let mut reader = Reader::new(message);
    while let Some((at, value)) = reader.next()? {
        if at == 1 {
            json = bytes(field, value)?;
        }
    }
    if json.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(json).map_err(|why| {
        let told = go_json::syntax_error(&String::from_utf8_lossy(json));
        Unreadable::Json { field: field.name, why: told.map_or_else(|| why.to_string(), |told| told.to_string()) }
    })
}

fn texts(field: &FieldDescriptor, message: &[u8]) -> Result<Value, Unreadable> {
    let mut texts = Vec::new();
    let mut reader = Reader::new(message);
    while let Some((at, value)) = reader.next()? {
        if at == 1 {
            texts.push(text(field, bytes(field, value)?)?);
        }
    }
    Ok(texts.into())
}
