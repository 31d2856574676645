//! The way from client-side to server-side apply: what `kubectl` last_applied in an annotation while it applied on its own.

use serde_json::{Value, json};

use super::conflict::Conflict;
use super::{Manager, changes, schema_validation};
use crate::machinery::json;
use crate::machinery::schema::Schema;

/// The name of kubectl when it applies by the server.
const KUBECTL: &str = "kubectl";
/// Where it notes what it applied on its own.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The conflicts but for those of kubectl with itself: over fields that it applied before and that are still as it last_applied.
pub(super) fn without_own_fields(
    schema: &Schema,
    live: &Value,
    manager: &Manager,
    mut conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let own = (manager.name == KUBECTL && !conflicts.is_empty()).then(|| last_applied_in(live)).flatten();
    let own = own.filter(|last_applied| last_applied["apiVersion"] == manager.api_version);
    let Some(last_applied) =
        own.filter(|last_applied| schema_validation::validate(&schema.root, last_applied).is_empty())
    else {
        return conflicts;
    };
    let (Ok(mut own), Ok(difference)) =
        (schema_validation::field_set_of(&schema.root, &last_applied), changes(schema, &last_applied, live, manager))
    else {
        return conflicts;
    };
    own.subtract(&difference.changed);
    own.subtract(&difference.removed);
    conflicts.iter_mut().for_each(|conflict| conflict.fields.subtract(&own));
    conflicts.retain(|conflict| !conflict.fields.is_empty());
    conflicts
}

/// Keeps the note up to date where there is one, for a kubectl that goes back to applying on its own.
pub(super) fn update_annotation(object: &mut Value, applied: &Value, manager: &Manager) {
    if manager.name != KUBECTL || annotation_text(object).is_none() {
        return;
    }
    let mut last_applied = applied.clone();
    if let Some(annotations) = last_applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove(ANNOTATION);
    }
    let text = json::to_text(&last_applied) + "\n";
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(ANNOTATION.into(), json!(text));
    }
}

fn annotation_text(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()
}

fn last_applied_in(object: &Value) -> Option<Value> {
    serde_json::from_str(annotation_text(object)?).ok()
}
