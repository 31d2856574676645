//! Bytes as JSON has them: what the schema of a field says that holds some.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Bytes in base64. No value has this type; `#[schemars(with = "Base64")]` names it.
#[derive(Clone, Copy, Debug)]
pub enum Base64 {}

impl JsonSchema for Base64 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "byte" })
    }
}
