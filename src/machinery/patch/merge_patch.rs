//! RFC 7386: the fields of a patch replace those of the same name, and `null` removes them.

use serde_json::{Map, Value};

/// Does a patch to an object.
pub(super) fn merge(object: &mut Value, patch: &Map<String, Value>) {
    let Value::Object(fields) = object else {
        *object = Value::Object(Map::new());
        return merge(object, patch);
    };
    for (name, patch) in patch {
        match (fields.get_mut(name), patch) {
            // Takes the last field into the gap: without moving all fields behind it. The order is settled below.
            (_, Value::Null) => _ = fields.swap_remove(name),
            (Some(current), Value::Object(patch)) => merge(current, patch),
            (_, value) => _ = fields.insert(name.clone(), without_nulls(value)),
        }
    }
    // What a patch goes through is written anew, with sorted keys.
    fields.sort_keys();
}

/// What a patch makes of nothing: itself, without what it removes.
fn without_nulls(patch: &Value) -> Value {
    match patch {
        Value::Object(fields) => {
            let mut object = Value::Object(Map::new());
            merge(&mut object, fields);
            object
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}
