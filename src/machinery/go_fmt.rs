//! Texts that Go's `fmt`, `encoding/json` and `strconv` produce in error messages of Kubernetes.

use std::fmt;
use std::num::{IntErrorKind, ParseIntError};

use serde_json::{Map, Value};

use crate::meta::excerpt;
use crate::meta::field::quote;

/// Excerpt of a value in the format of Go's `%v`: `map[a:[1 2] b:<nil>]`, with sorted keys.
pub(crate) fn value(value: &Value) -> String {
    excerpt::of(GoValue(value))
}

/// Excerpt of a list in the format of Go's `%v`.
pub(crate) fn list(items: &[Value]) -> String {
    excerpt::of(GoList(items))
}

/// Excerpt of an object in the format of Go's `%v`.
pub(crate) fn map(fields: &Map<String, Value>) -> String {
    excerpt::of(GoMap(fields))
}

struct GoValue<'a>(&'a Value);
struct GoList<'a>(&'a [Value]);
struct GoMap<'a>(&'a Map<String, Value>);

impl fmt::Display for GoValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => f.write_str(text),
            Value::Array(items) => GoList(items).fmt(f),
            Value::Object(fields) => GoMap(fields).fmt(f),
        }
    }
}

impl fmt::Display for GoList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { " " }, GoValue(item))?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for GoMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        f.write_str("map[")?;
        for (index, (name, value)) in fields.into_iter().enumerate() {
            write!(f, "{}{name}:{}", if index == 0 { "" } else { " " }, GoValue(value))?;
        }
        f.write_str("]")
    }
}

/// Name of a JSON type in errors of Go's `encoding/json`.
pub(crate) fn json_type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Error of Go's `encoding/json` for a document of the JSON type `found` that should hold `kind`
/// and `apiVersion`.
pub(crate) fn not_a_struct(found: &str) -> String {
    // The anonymous struct in SimpleMetaFactory.Interpret, which reads these two fields.
    let target = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    format!("json: cannot unmarshal {found} into Go value of type {target}")
}

/// Error of `SimpleMetaFactory.Interpret` in
/// `k8s.io/apimachinery/pkg/runtime/serializer/json/meta.go`.
pub(crate) fn no_type_meta(reason: &str) -> String {
    format!("couldn't get version/kind; json parse error: {reason}")
}

/// Error of the `strconv` function `function` for a text that is not an integer or is out of range.
pub(crate) fn strconv_error(function: &str, text: &str, reason: &ParseIntError) -> String {
    let reason = match reason.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {reason}", quote(text))
}

#[cfg(test)]
mod tests {
    #[test]
    fn objects_are_formatted_as_maps_with_sorted_keys() {
        let value = serde_json::json!({"b": [1, "x", true], "a": {"c": null}, "d": {}});
        assert_eq!(super::value(&value), "map[a:map[c:<nil>] b:[1 x true] d:map[]]");
    }
}
