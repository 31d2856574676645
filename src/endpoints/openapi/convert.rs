//! The JSON schema of a Rust type in the form that Kubernetes gives its schemas.
//!
//! Kubernetes knows no `null`: a field that may be `null` is one that may be left out. Which fields must be there does not
//! follow from the types, as all of them have defaults; a field says it of itself with `"required": true`.

use serde_json::{Map, Value, json};

use super::version::OpenApiVersion;

/// A schema, as schemars made it from a type as it is written.
pub(super) fn schema(version: OpenApiVersion, made: &Value) -> Value {
    let mut schema = Map::new();
    for (key, value) in made.as_object().into_iter().flatten() {
        match key.as_str() {
            "anyOf" => schema.extend(not_null(version, value)),
            "type" => insert(&mut schema, key, name_of_type(value)),
            "format" => insert(&mut schema, key, Some(signed(value))),
            "description" => insert(&mut schema, key, value.as_str().map(|text| paragraphs(text).into())),
            "items" => insert(&mut schema, key, Some(self::schema(version, value))),
            "additionalProperties" if value.is_object() => {
                insert(&mut schema, key, Some(self::schema(version, value)));
            }
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let fields: Map<_, _> =
                    fields.map(|(name, made)| (name.clone(), self::schema(version, made))).collect();
                insert(&mut schema, "required", required(value));
                insert(&mut schema, key, Some(fields.into()));
            }
            "$ref" => insert(&mut schema, key, Some(value.clone())),
            "default" if version == OpenApiVersion::V3 => insert(&mut schema, key, default(made, value)),
            _ if key.starts_with("x-") => insert(&mut schema, key, Some(value.clone())),
            _ => {}
        }
    }
    if version == OpenApiVersion::V3 { with_reference_apart(schema) } else { schema.into() }
}

/// The schema of a kind: the same, with the fields that say which kind it is.
pub(super) fn object(version: OpenApiVersion, made: &Value) -> Value {
    let mut object = schema(version, made);
    if let Some(fields) = object.get_mut("properties").filter(|fields| fields.get("metadata").is_some()) {
        fields["apiVersion"] =
            json!({ "type": "string", "description": "Group and version of the kind of this object." });
        fields["kind"] = json!({ "type": "string", "description": "Kind of this object." });
    }
    object
}

fn insert(schema: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    schema.extend(value.map(|value| (key.to_owned(), value)));
}

/// Of the schema of a value and that of `null`, the former.
fn not_null(version: OpenApiVersion, choices: &Value) -> Map<String, Value> {
    let mut choices = choices.as_array().into_iter().flatten();
    let choice = choices.find(|choice| choice["type"] != "null");
    let schema = choice.map(|choice| self::schema(version, choice));
    schema.and_then(|schema| schema.as_object().cloned()).unwrap_or_default()
}

/// The type, of several the one that is not `null`.
fn name_of_type(types: &Value) -> Option<Value> {
    match types {
        Value::Array(types) => types.iter().find(|name| **name != "null").cloned(),
        one => Some(one.clone()),
    }
}

/// Kubernetes has no unsigned numbers.
fn signed(format: &Value) -> Value {
    match format.as_str() {
        Some("uint8" | "uint16" | "uint32") => "int32".into(),
        Some("uint64") => "int64".into(),
        _ => format.clone(),
    }
}

/// Text without the line ends of the source, but with its paragraphs.
fn paragraphs(text: &str) -> String {
    text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

/// The fields that say of themselves that they must be there.
fn required(fields: &Value) -> Option<Value> {
    let is_required = |field: &Value| field["required"] == true;
    let fields = fields.as_object().into_iter().flatten().filter(|(_, field)| is_required(field));
    let names: Vec<&String> = fields.map(|(name, _)| name).collect();
    (!names.is_empty()).then(|| json!(names))
}

/// What an absent field stands for; of one that is an object with fields of its own, that it is there.
fn default(made: &Value, value: &Value) -> Option<Value> {
    match value {
        Value::Object(_) => made.get("$ref").map(|_| json!({})),
        Value::Null | Value::Array(_) => None,
        single => Some(single.clone()),
    }
}

/// Nothing may stand beside a reference in version 3: what does, stands around it.
fn with_reference_apart(mut schema: Map<String, Value>) -> Value {
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
    fn what_may_be_null_is_what_may_be_left_out() {
        let made = json!({"anyOf": [{"$ref": "#/A"}, {"type": "null"}], "default": null, "description": "a\nb\n\nc"});
        let description = "a b\n\nc";
        assert_eq!(schema(OpenApiVersion::V2, &made), json!({"$ref": "#/A", "description": description}));
        assert_eq!(schema(OpenApiVersion::V3, &made), json!({"allOf": [{"$ref": "#/A"}], "description": description}));
        let made = json!({"type": ["integer", "null"], "format": "uint64", "minimum": 0});
        assert_eq!(schema(OpenApiVersion::V2, &made), json!({"type": "integer", "format": "int64"}));
    }

    #[test]
    fn a_field_says_of_itself_that_it_must_be_there() {
        let fields = json!({"a": {"type": "string", "required": true}, "b": {"type": "string", "default": ""}});
        let made = json!({"type": "object", "required": ["a", "b"], "properties": fields});
        let plain = json!({"type": "string"});
        let wanted = json!({"type": "object", "required": ["a"], "properties": {"a": plain, "b": plain}});
        assert_eq!(schema(OpenApiVersion::V2, &made), wanted);
    }

    #[test]
    fn defaults_are_told_in_version_3() {
        let made = json!({"$ref": "#/A", "default": {"b": {}}});
        assert_eq!(schema(OpenApiVersion::V2, &made), json!({"$ref": "#/A"}));
        assert_eq!(schema(OpenApiVersion::V3, &made), json!({"allOf": [{"$ref": "#/A"}], "default": {}}));
        let made = json!({"type": "array", "items": {"type": "string", "default": "x"}, "default": []});
        assert_eq!(
            schema(OpenApiVersion::V3, &made),
            json!({"type": "array", "items": {"type": "string", "default": "x"}})
        );
    }

    #[test]
    fn a_kind_says_what_it_is() {
        let kind = object(OpenApiVersion::V2, &json!({"type": "object", "properties": {"metadata": {"$ref": "#/A"}}}));
        assert_eq!(kind["properties"]["kind"]["type"], "string");
        let part = object(OpenApiVersion::V2, &json!({"type": "object", "properties": {"a": {"$ref": "#/A"}}}));
        assert_eq!(part["properties"]["kind"], Value::Null);
    }
}
