//! JSON Merge Patch (RFC 7386): the fields of a patch replace those of the same name, `null`
//! removes them.

use serde_json::{Map, Value};

/// Applies a patch to an object.
pub(super) fn merge(object: &mut Value, patch: &Map<String, Value>) {
    let Value::Object(fields) = object else {
        *object = Value::Object(Map::new());
        return merge(object, patch);
    };
    for (name, patch) in patch {
        match (fields.get_mut(name), patch) {
            // swap_remove avoids moving all later fields. The keys are sorted below.
            (_, Value::Null) => _ = fields.swap_remove(name),
            (Some(current), Value::Object(patch)) => merge(current, patch),
            (_, value) => _ = fields.insert(name.clone(), without_nulls(value)),
        }
    }
    // Kubernetes re-encodes every object that the patch visits, with sorted keys.
    fields.sort_keys();
}

/// The patch without `null` fields, for a field that does not exist.
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
