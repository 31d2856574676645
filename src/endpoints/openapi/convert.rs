//! Conversion of the JSON schema of a Rust type to an OpenAPI schema of Kubernetes.
//!
//! Such schemas have no `null`: a nullable field is an optional one. Only in version 3, `nullable`
//! marks the fields that responses contain as `null`, for generated clients. Required fields do not
//! follow from the types, because all of them have defaults. A field is required if its schema has
//! `"required": true`.

use serde_json::{Map, Value, json};

use super::version::OpenApiVersion;

/// Converts a schema that schemars generated.
pub(super) fn schema(version: OpenApiVersion, generated: &Value) -> Value {
    let mut schema = Map::new();
    for (key, value) in generated.as_object().into_iter().flatten() {
        match key.as_str() {
            "anyOf" => schema.extend(not_null(version, value)),
            "type" => insert(&mut schema, key, name_of_type(value)),
            "format" => insert(&mut schema, key, Some(signed(value))),
            "description" => {
                insert(&mut schema, key, value.as_str().map(|text| paragraphs(text).into()))
            }
            "items" => insert(&mut schema, key, Some(self::schema(version, value))),
            "additionalProperties" if value.is_object() => {
                insert(&mut schema, key, Some(self::schema(version, value)));
            }
            "properties" => {
                let converted = value.as_object().into_iter().flatten().map(|(name, field)| {
                    let converted = self::schema(version, field);
                    let is_sent = is_sent_as_null(generated, name, field);
                    match is_sent && version == OpenApiVersion::V3 {
                        true => (name.clone(), nullable(converted)),
                        false => (name.clone(), converted),
                    }
                });
                let fields: Map<_, _> = converted.collect();
                insert(&mut schema, "required", required(value));
                insert(&mut schema, key, Some(fields.into()));
            }
            "$ref" => insert(&mut schema, key, Some(value.clone())),
            "default" if version == OpenApiVersion::V3 => insert(&mut schema, key, default(value)),
            _ if key.starts_with("x-") => insert(&mut schema, key, Some(value.clone())),
            _ => {}
        }
    }
    if version == OpenApiVersion::V3 { wrap_reference(schema) } else { schema.into() }
}

/// Converts the schema of a kind and adds `apiVersion` and `kind`.
pub(super) fn object(version: OpenApiVersion, generated: &Value) -> Value {
    let mut object = schema(version, generated);
    if let Some(fields) =
        object.get_mut("properties").filter(|fields| fields.get("metadata").is_some())
    {
        fields["apiVersion"] = json!({ "type": "string", "description": "APIVersion is the group and version of the schema of this object." });
        fields["kind"] = json!({ "type": "string", "description": "Kind is the name of the resource that this object represents." });
    }
    object
}

fn insert(schema: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    schema.extend(value.map(|value| (key.to_owned(), value)));
}

/// The alternative that is not `null`.
fn not_null(version: OpenApiVersion, choices: &Value) -> Map<String, Value> {
    let mut choices = choices.as_array().into_iter().flatten();
    let choice = choices.find(|choice| choice["type"] != "null");
    let schema = choice.map(|choice| self::schema(version, choice));
    schema.and_then(|schema| schema.as_object().cloned()).unwrap_or_default()
}

/// The type that is not `null`.
fn name_of_type(types: &Value) -> Option<Value> {
    match types {
        Value::Array(types) => types.iter().find(|name| **name != "null").cloned(),
        one => Some(one.clone()),
    }
}

/// Returns true for a field of a schema that is `null` on the wire if it has no value: a nullable one
/// that is always sent.
fn is_sent_as_null(generated: &Value, name: &str, field: &Value) -> bool {
    let is_null = |r#type: &Value| *r#type == "null";
    let is_in = |list: &Value, test: &dyn Fn(&Value) -> bool| {
        list.as_array().is_some_and(|items| items.iter().any(test))
    };
    is_in(&generated["required"], &|each| each == name)
        && (field["nullable"] == true
            || is_in(&field["type"], &is_null)
            || is_in(&field["anyOf"], &|choice| is_null(&choice["type"])))
}

fn nullable(mut schema: Value) -> Value {
    schema["nullable"] = true.into();
    match schema {
        Value::Object(fields) => wrap_reference(fields),
        other => other,
    }
}

/// The signed format of a number. Kubernetes has no unsigned ones.
fn signed(format: &Value) -> Value {
    match format.as_str() {
        Some("uint8" | "uint16" | "uint32") => "int32".into(),
        Some("uint64") => "int64".into(),
        _ => format.clone(),
    }
}

/// Joins the lines of each paragraph.
fn paragraphs(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// The names of the required fields.
fn required(fields: &Value) -> Option<Value> {
    let is_required = |field: &Value| field["required"] == true;
    let fields = fields.as_object().into_iter().flatten().filter(|(_, field)| is_required(field));
    let names: Vec<&String> = fields.map(|(name, _)| name).collect();
    (!names.is_empty()).then(|| json!(names))
}

/// The default of a field. Only a scalar has one: code generators refuse `{}` beside a reference, and
/// drop the schema that contains it.
fn default(value: &Value) -> Option<Value> {
    match value {
        Value::Object(_) | Value::Null | Value::Array(_) => None,
        scalar => Some(scalar.clone()),
    }
}

/// Moves a reference with siblings into `allOf`, because version 3 ignores siblings of `$ref`.
fn wrap_reference(mut schema: Map<String, Value>) -> Value {
    if schema.len() > 1
        && let Some(reference) = schema.shift_remove("$ref")
    {
        schema.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
    schema.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nullable_fields_become_optional() {
        let generated = json!({"anyOf": [{"$ref": "#/A"}, {"type": "null"}], "default": null, "description": "a\nb\n\nc"});
        let description = "a b\n\nc";
        assert_eq!(
            schema(OpenApiVersion::V2, &generated),
            json!({"$ref": "#/A", "description": description})
        );
        assert_eq!(
            schema(OpenApiVersion::V3, &generated),
            json!({"allOf": [{"$ref": "#/A"}], "description": description})
        );
        let generated = json!({"type": ["integer", "null"], "format": "uint64", "minimum": 0});
        assert_eq!(
            schema(OpenApiVersion::V2, &generated),
            json!({"type": "integer", "format": "int64"})
        );
    }

    #[test]
    fn fields_that_are_sent_as_null_are_nullable_in_version_3() {
        let fields = json!({
            "sent": {"anyOf": [{"$ref": "#/A"}, {"type": "null"}]},
            "list": {"type": "array", "nullable": true},
            "left-out": {"type": ["string", "null"]},
            "never": {"type": "string"},
        });
        let required = ["sent", "list", "never"];
        let generated = json!({"type": "object", "required": required, "properties": fields});
        let converted = schema(OpenApiVersion::V3, &generated);
        let expected = json!({
            "sent": {"allOf": [{"$ref": "#/A"}], "nullable": true},
            "list": {"type": "array", "nullable": true},
            "left-out": {"type": "string"},
            "never": {"type": "string"},
        });
        assert_eq!(converted["properties"], expected);
        let converted = schema(OpenApiVersion::V2, &generated);
        assert_eq!(converted["properties"]["sent"], json!({"$ref": "#/A"}));
        assert_eq!(converted["properties"]["list"], json!({"type": "array"}));
    }

    #[test]
    fn required_fields_are_marked_in_their_schema() {
        let fields = json!({"a": {"type": "string", "required": true}, "b": {"type": "string", "default": ""}});
        let generated = json!({"type": "object", "required": ["a", "b"], "properties": fields});
        let plain = json!({"type": "string"});
        let expected =
            json!({"type": "object", "required": ["a"], "properties": {"a": plain, "b": plain}});
        assert_eq!(schema(OpenApiVersion::V2, &generated), expected);
    }

    #[test]
    fn only_scalars_have_defaults_and_only_in_version_3() {
        let generated = json!({"$ref": "#/A", "default": {"b": {}}});
        for version in [OpenApiVersion::V2, OpenApiVersion::V3] {
            assert_eq!(schema(version, &generated), json!({"$ref": "#/A"}));
        }
        let generated =
            json!({"type": "array", "items": {"type": "string", "default": "x"}, "default": []});
        assert_eq!(
            schema(OpenApiVersion::V3, &generated),
            json!({"type": "array", "items": {"type": "string", "default": "x"}})
        );
    }

    #[test]
    fn kinds_have_type_meta() {
        let kind = object(
            OpenApiVersion::V2,
            &json!({"type": "object", "properties": {"metadata": {"$ref": "#/A"}}}),
        );
        assert_eq!(kind["properties"]["kind"]["type"], "string");
        let part = object(
            OpenApiVersion::V2,
            &json!({"type": "object", "properties": {"a": {"$ref": "#/A"}}}),
        );
        assert_eq!(part["properties"]["kind"], Value::Null);
    }
}
