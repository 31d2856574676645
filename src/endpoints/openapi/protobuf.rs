//! Protobuf encoding of a version 2 document, for kubectl, which reads no other encoding of it.
//!
//! Messages and numbers are those of `openapiv2/OpenAPIv2.proto` in
//! github.com/google/gnostic-models, limited to the fields that documents here use.

use serde_json::Value;

use crate::machinery::protobuf::wire;

/// The fields of a message, and the number of its extensions field.
struct Message {
    fields: &'static [(&'static str, u32, FieldEncoding)],
    extensions: u32,
}

/// The encoding of the value of a field.
enum FieldEncoding {
    Text,
    Flag,
    Message(&'static Message),
    /// A message with this one field.
    Within(u32, &'static FieldEncoding),
    /// A repeated field.
    Each(&'static FieldEncoding),
    /// A map: a message with this repeated field, each holding name and value.
    Named(u32, &'static FieldEncoding),
    /// A parameter: the message depends on its `in`.
    Parameter,
}

use FieldEncoding::{Each, Flag, Named, Parameter, Text, Within};

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Text),
        ("info", 2, FieldEncoding::Message(&INFO)),
        ("paths", 8, Named(2, &FieldEncoding::Message(&PATH))),
        ("definitions", 9, Named(1, &FieldEncoding::Message(&SCHEMA))),
        ("security", 12, Each(&Named(1, &Within(1, &Each(&Text))))),
        ("securityDefinitions", 13, Named(1, &Within(2, &FieldEncoding::Message(&API_KEY)))),
    ],
    extensions: 16,
};

static INFO: Message =
    Message { fields: &[("title", 1, Text), ("version", 2, Text)], extensions: 7 };

static PATH: Message = Message {
    fields: &[
        ("get", 2, FieldEncoding::Message(&OPERATION)),
        ("put", 3, FieldEncoding::Message(&OPERATION)),
        ("post", 4, FieldEncoding::Message(&OPERATION)),
        ("delete", 5, FieldEncoding::Message(&OPERATION)),
        ("patch", 8, FieldEncoding::Message(&OPERATION)),
        ("parameters", 9, Each(&Parameter)),
    ],
    extensions: 10,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Each(&Text)),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Each(&Text)),
        ("consumes", 7, Each(&Text)),
        ("parameters", 8, Each(&Parameter)),
        ("responses", 9, Named(1, &Within(1, &FieldEncoding::Message(&RESPONSE)))),
        ("deprecated", 11, Flag),
    ],
    extensions: 13,
};

static API_KEY: Message = Message {
    fields: &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)],
    extensions: 5,
};

static RESPONSE: Message = Message {
    fields: &[("description", 1, Text), ("schema", 2, Within(1, &FieldEncoding::Message(&SCHEMA)))],
    extensions: 5,
};

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, FieldEncoding::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("uniqueItems", 20, Flag),
    ],
    extensions: 23,
};

static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("uniqueItems", 19, Flag),
    ],
    extensions: 22,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("description", 4, Text),
        ("required", 19, Each(&Text)),
        ("additionalProperties", 21, Within(1, &FieldEncoding::Message(&SCHEMA))),
        ("type", 22, Within(1, &Text)),
        ("items", 23, Within(1, &FieldEncoding::Message(&SCHEMA))),
        ("properties", 25, Named(1, &FieldEncoding::Message(&SCHEMA))),
    ],
    extensions: 31,
};

/// Parameters inside their wrapper messages.
static IN_BODY: FieldEncoding = Within(1, &Within(1, &FieldEncoding::Message(&BODY_PARAMETER)));
static IN_QUERY: FieldEncoding =
    Within(1, &Within(2, &Within(3, &FieldEncoding::Message(&QUERY_PARAMETER))));
static IN_PATH: FieldEncoding =
    Within(1, &Within(2, &Within(4, &FieldEncoding::Message(&PATH_PARAMETER))));

/// A part of a document without a field in the messages above.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot encode {0} of the OpenAPI document: add a field for it to endpoints/openapi/protobuf.rs"
)]
pub struct UnsupportedField(String);

/// Encodes a document of version 2.
///
/// # Errors
/// The document has a field that the messages lack.
pub fn encode_protobuf(document: &Value) -> Result<Vec<u8>, UnsupportedField> {
    content(&DOCUMENT, document)
}

fn content(message: &Message, value: &Value) -> Result<Vec<u8>, UnsupportedField> {
    let mut out = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        if key.starts_with("x-") {
            out.extend(length_delimited(message.extensions, &extension(key, value)));
            continue;
        }
        let field = message.fields.iter().find(|(name, ..)| name == key);
        let (_, number, encoding) = field.ok_or_else(|| UnsupportedField(key.clone()))?;
        encode_field(*number, encoding, value, &mut out)
            .map_err(|UnsupportedField(inner)| UnsupportedField(format!("{key}.{inner}")))?;
    }
    Ok(out)
}

fn encode_field(
    number: u32,
    encoding: &FieldEncoding,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), UnsupportedField> {
    match encoding {
        FieldEncoding::Text => out.extend(length_delimited(
            number,
            value.as_str().ok_or_else(|| UnsupportedField(value.to_string()))?.as_bytes(),
        )),
        FieldEncoding::Flag => {
            wire::number(
                number,
                value.as_bool().ok_or_else(|| UnsupportedField(value.to_string()))?.into(),
                out,
            );
        }
        FieldEncoding::Message(message) => {
            out.extend(length_delimited(number, &content(message, value)?))
        }
        FieldEncoding::Within(inner, encoding) => {
            let mut content = Vec::new();
            encode_field(*inner, encoding, value, &mut content)?;
            out.extend(length_delimited(number, &content));
        }
        FieldEncoding::Each(encoding) => {
            for item in value.as_array().into_iter().flatten() {
                encode_field(number, encoding, item, out)?;
            }
        }
        FieldEncoding::Named(inner, encoding) => {
            let mut content = Vec::new();
            for (name, value) in value.as_object().into_iter().flatten() {
                let mut entry = length_delimited(1, name.as_bytes());
                encode_field(2, encoding, value, &mut entry)?;
                content.extend(length_delimited(*inner, &entry));
            }
            out.extend(length_delimited(number, &content));
        }
        FieldEncoding::Parameter => {
            let encoding = match value["in"].as_str() {
                Some("body") => &IN_BODY,
                Some("query") => &IN_QUERY,
                Some("path") => &IN_PATH,
                _ => return Err(UnsupportedField(value["in"].to_string())),
            };
            encode_field(number, encoding, value, out)?;
        }
    }
    Ok(())
}

/// An extension: its name, and its value as YAML, of which JSON is a subset.
fn extension(name: &str, value: &Value) -> Vec<u8> {
    let mut entry = length_delimited(1, name.as_bytes());
    entry.extend(length_delimited(2, &length_delimited(2, value.to_string().as_bytes())));
    entry
}

/// A length-delimited field.
fn length_delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 8);
    wire::bytes(number, content, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_the_numbers_of_the_messages() {
        let document =
            json!({"swagger": "2.0", "definitions": {"A": {"type": "object", "x-y": true}}});
        let schema = [
            b"\xb2\x01\x08\x0a\x06object".as_slice(),
            b"\xfa\x01\x0d\x0a\x03x-y\x12\x06\x12\x04true".as_slice(),
        ]
        .concat();
        let schema = [&[0x12, schema.len() as u8], schema.as_slice()].concat();
        let entry = [b"\x0a\x01A".as_slice(), &schema].concat();
        let entry = [&[0x0a, entry.len() as u8], entry.as_slice()].concat();
        let expected = [b"\x0a\x032.0\x4a".as_slice(), &[entry.len() as u8], &entry].concat();
        assert_eq!(encode_protobuf(&document).unwrap(), expected);
    }

    #[test]
    fn an_unsupported_field_is_named() {
        let document = json!({"info": {"contact": {}}});
        assert_eq!(encode_protobuf(&document), Err(UnsupportedField("info.contact".into())));
    }
}
