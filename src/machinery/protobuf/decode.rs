//! Protobuf decoder, with the rules of Kubernetes' generated code: the last value of a field wins,
//! repeated messages are merged, unknown fields are skipped.
//!
//! Memory is bounded by the length of the input: nothing is allocated by an encoded length, and
//! messages are not recursive.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::wire::{WireError, WireReader, WireValue};
use crate::machinery::body_limits::{MAX_VALUES, count_values, is_short};
use crate::machinery::go_json::{self, JsonText, RepeatedKeys};
use crate::meta::Time;
use crate::meta::protobuf::{Cardinality, FieldDescriptor, FieldType, MessageDescriptor};

/// Error of decoding a protobuf message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input is empty.
    #[error("empty data")]
    Empty,
    /// The input ends after the prefix.
    #[error("empty body")]
    EmptyBody,
    /// The input lacks the prefix of Kubernetes.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Prefix,
    /// The input is not a protobuf message.
    #[error(transparent)]
    WireError(#[from] WireError),
    /// A value has another wire type than its field.
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WireType {
        /// The wire type of the value.
        wire_type: u32,
        /// The JSON key of the field.
        field: &'static str,
    },
    /// The message has too many values.
    #[error("there are too many values")]
    TooManyValues,
    /// A string is not valid UTF-8.
    #[error("proto: the text of field {0} is not in UTF-8")]
    InvalidUtf8(&'static str),
    /// A field with JSON content is not valid JSON.
    #[error("{reason} in field {field}")]
    Json {
        /// The JSON key of the field.
        field: &'static str,
        /// The syntax error.
        reason: String,
    },
}

/// Decodes a message into the fields of a JSON object.
///
/// # Errors
/// The bytes are not a valid message, or it has too many values.
pub fn decode_fields(
    message: &MessageDescriptor,
    bytes: &[u8],
) -> Result<Map<String, Value>, DecodeError> {
    if !is_short(bytes) && count_message_values(message, bytes)? > MAX_VALUES {
        return Err(DecodeError::TooManyValues);
    }
    let mut fields = Map::new();
    read(message, bytes, &mut fields)?;
    Ok(fields)
}

/// Number of values in a message and the messages inside it.
fn count_message_values(message: &MessageDescriptor, bytes: &[u8]) -> Result<usize, DecodeError> {
    let (mut count, mut reader) = (0, WireReader::new(bytes));
    while let Some((number, value)) = reader.next()? {
        let known = message.fields.binary_search_by_key(&number, |field| field.number);
        let field_type = known.map(|at| message.fields[at].field_type);
        count += 1;
        match (field_type, value) {
            (Ok(FieldType::Message(inner) | FieldType::Inline(inner)), WireValue::Bytes(bytes)) => {
                count += count_message_values(inner, bytes)?;
            }
            (Ok(FieldType::Json | FieldType::JsonLine), WireValue::Bytes(bytes)) => {
                count += count_json_values(bytes)?
            }
            _ => {}
        }
    }
    Ok(count)
}

/// Number of values after the first one in the JSON that a message holds.
fn count_json_values(message: &[u8]) -> Result<usize, DecodeError> {
    let (mut count, mut reader) = (0, WireReader::new(message));
    while let Some((number, value)) = reader.next()? {
        if let (1, WireValue::Bytes(json)) = (number, value) {
            count += count_values(json);
        }
    }
    Ok(count)
}

fn read(
    message: &MessageDescriptor,
    bytes: &[u8],
    into: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    let mut reader = WireReader::new(bytes);
    while let Some((number, value)) = reader.next()? {
        if let Ok(at) = message.fields.binary_search_by_key(&number, |field| field.number) {
            add_value(&message.fields[at], value, into)?;
        }
    }
    Ok(())
}

/// Adds a value to a field.
fn add_value(
    field: &FieldDescriptor,
    value: WireValue<'_>,
    into: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    if let FieldType::Inline(message) = field.field_type {
        return read(message, bytes(field, value)?, into);
    }
    let empty = match (field.cardinality, field.field_type) {
        (Cardinality::Repeated, _) => Value::Array(Vec::new()),
        (Cardinality::Map, _) | (_, FieldType::Message(_)) => Value::Object(Map::new()),
        _ => Value::Null,
    };
    let current = into.entry(field.name).or_insert(empty);
    match (field.cardinality, current) {
        (Cardinality::Repeated, Value::Array(items)) => {
            items.push(decode_value(field, value, Value::Null)?)
        }
        (Cardinality::Map, Value::Object(entries)) => {
            let (key, value) = decode_entry(field, bytes(field, value)?)?;
            entries.insert(key, value);
        }
        (_, current) => *current = decode_value(field, value, current.take())?,
    }
    Ok(())
}

/// Decodes a value. A message is merged into its `current` value.
fn decode_value(
    field: &FieldDescriptor,
    value: WireValue<'_>,
    current: Value,
) -> Result<Value, DecodeError> {
    Ok(match field.field_type {
        FieldType::Int64 => Value::from(number(field, value)? as i64),
        FieldType::Bool => Value::from(number(field, value)? != 0),
        FieldType::String => text(field, bytes(field, value)?)?.into(),
        FieldType::Bytes => STANDARD.encode(bytes(field, value)?).into(),
        FieldType::Time => time(field, bytes(field, value)?)?,
        FieldType::Json | FieldType::JsonLine => json(field, bytes(field, value)?)?,
        FieldType::StringList => texts(field, bytes(field, value)?)?,
        FieldType::Message(message) | FieldType::Inline(message) => {
            let mut fields = match current {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
            read(message, bytes(field, value)?, &mut fields)?;
            fields.into()
        }
    })
}

/// Decodes an entry of a map. Key and value default to their zero values.
fn decode_entry(field: &FieldDescriptor, bytes: &[u8]) -> Result<(String, Value), DecodeError> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = WireReader::new(bytes);
    while let Some((number, part)) = reader.next()? {
        match number {
            1 => key = text(field, self::bytes(field, part)?)?,
            2 => value = Some(decode_value(field, part, Value::Null)?),
            _ => {}
        }
    }
    let empty = match field.field_type {
        FieldType::Message(_) => Value::Object(Map::new()),
        _ => Value::String(String::new()),
    };
    Ok((key, value.unwrap_or(empty)))
}

fn bytes<'a>(field: &FieldDescriptor, value: WireValue<'a>) -> Result<&'a [u8], DecodeError> {
    match value {
        WireValue::Bytes(bytes) => Ok(bytes),
        other => Err(DecodeError::WireType { wire_type: other.wire_type(), field: field.name }),
    }
}

fn number(field: &FieldDescriptor, value: WireValue<'_>) -> Result<u64, DecodeError> {
    match value {
        WireValue::Number(number) => Ok(number),
        other => Err(DecodeError::WireType { wire_type: other.wire_type(), field: field.name }),
    }
}

fn text(field: &FieldDescriptor, bytes: &[u8]) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::InvalidUtf8(field.name))
}

/// Decodes a time. The zero time is an empty message, and `null` in JSON. Nanoseconds are ignored.
fn time(field: &FieldDescriptor, message: &[u8]) -> Result<Value, DecodeError> {
    if message.is_empty() {
        return Ok(Value::Null);
    }
    let mut seconds = 0;
    let mut reader = WireReader::new(message);
    while let Some((at, value)) = reader.next()? {
        if at == 1 {
            seconds = number(field, value)? as i64;
        }
    }
    let time = Time::from_unix_seconds(seconds);
    Ok(if time.is_zero() { Value::Null } else { time.to_string().into() })
}

fn json(field: &FieldDescriptor, message: &[u8]) -> Result<Value, DecodeError> {
    let mut json: &[u8] = b"";
    let mut reader = WireReader::new(message);
    while let Some((at, value)) = reader.next()? {
        if at == 1 {
            json = bytes(field, value)?;
        }
    }
    if json.is_empty() {
        return Ok(Value::Null);
    }
    let text = JsonText::check(json);
    text.and_then(|text| go_json::to_value(text, RepeatedKeys::Merged))
        .map_err(|error| DecodeError::Json { field: field.name, reason: error.to_string() })
}

fn texts(field: &FieldDescriptor, message: &[u8]) -> Result<Value, DecodeError> {
    let mut texts = Vec::new();
    let mut reader = WireReader::new(message);
    while let Some((at, value)) = reader.next()? {
        if at == 1 {
            texts.push(text(field, bytes(field, value)?)?);
        }
    }
    Ok(texts.into())
}
