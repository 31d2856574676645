//! RFC 7386: the fields of a patch replace those of the same name, and `null` removes them.

use serde_json::{Map, Value};

/// Does a patch to an object.
pub(super) fn merge(object: &mut Value, patch: &Map<String, Value>) {
    let Value::Object(fields) = object else {
        *object = fresh(patch);
        return;
    };
    for (name, patch) in patch {
        match (fields.get_mut(name), patch) {
            (_, Value::Null) => _ = fields.shift_remove(name),
            (Some(present), Value::Object(patch)) => merge(present, patch),
            (_, Value::Object(patch)) => _ = fields.insert(name.clone(), fresh(patch)),
            (_, value) => _ = fields.insert(name.clone(), value.clone()),
        }
    }
    // What a patch goes through is written anew, with sorted keys.
    fields.sort_keys();
}

/// What a patch makes of nothing: itself, without what it removes.
fn fresh(patch: &Map<String, Value>) -> Value {
    let mut object = Value::Object(Map::new());
    merge(&mut object, patch);
    object
}
