//! What error texts of the reference have from Go: values as it prints them by default, and what it says of those that cannot be
//! read.

use std::fmt;
use std::num::{IntErrorKind, ParseIntError};

use serde_json::{Map, Value};

use crate::meta::excerpt;
use crate::meta::field::quote;

/// The excerpt of a value in Go's default format: `map[a:[1 2] b:<nil>]`, with the keys sorted.
pub(crate) fn value(value: &Value) -> String {
    excerpt::of(GoValue(value))
}

/// The same of a list.
pub(crate) fn list(items: &[Value]) -> String {
    excerpt::of(GoList(items))
}

/// The same of an object.
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
        for (at, item) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { " " }, GoValue(item))?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for GoMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        f.write_str("map[")?;
        for (at, (name, value)) in fields.into_iter().enumerate() {
            write!(f, "{}{name}:{}", if at == 0 { "" } else { " " }, GoValue(value))?;
        }
        f.write_str("]")
    }
}

/// The type of a value as Go's errors call it.
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

/// Why kind and version cannot be looked for in a value: it is of the type `found`, and no object.
pub(crate) fn not_a_struct(found: &str) -> String {
    // The type in which the reference looks for these two.
    let target =
        r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    format!("json: cannot unmarshal {found} into Go value of type {target}")
}

/// Why kind and version cannot be told.
pub(crate) fn no_type_meta(reason: &str) -> String {
    format!("couldn't get version/kind; json parse error: {reason}")
}

/// Error text of Go's `function` for a text that is no number.
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
    fn objects_are_maps_with_sorted_keys() {
        let value = serde_json::json!({"b": [1, "x", true], "a": {"c": null}, "d": {}});
        assert_eq!(super::value(&value), "map[a:map[c:<nil>] b:[1 x true] d:map[]]");
    }
}
