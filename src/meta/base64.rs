//! `Base64`: the OpenAPI schema of byte fields.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Schema of bytes in base64, for `#[schemars(with = "Base64")]`. The type has no values.
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
