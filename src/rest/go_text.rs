//! Values as the reference shows them in error texts: JSON as Go prints it by default.

use serde_json::{Map, Value};

/// A value in Go's default format: `map[a:[1 2] b:<nil>]`, with the keys sorted.
pub(super) fn of(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => of_list(items),
        Value::Object(fields) => of_object(fields),
    }
}

/// The same of a list.
pub(super) fn of_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(of).collect::<Vec<_>>().join(" "))
}

/// The same of an object.
pub(super) fn of_object(fields: &Map<String, Value>) -> String {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name}:{}", of(value))).collect();
    format!("map[{}]", fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_maps_with_sorted_keys() {
        let value = serde_json::json!({"b": [1, "x", true], "a": {"c": null}, "d": {}});
        assert_eq!(of(&value), "map[a:map[c:<nil>] b:[1 x true] d:map[]]");
    }
}
