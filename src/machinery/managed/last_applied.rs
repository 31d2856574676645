//! The way from client-side to server-side apply: what `kubectl` noted in an annotation while it applied on its own.

use serde_json::{Value, json};

use super::conflict::Conflict;
use super::{Manager, changes, fields};
use crate::machinery::schema::Schema;
use crate::machinery::single::json_text;

/// The name of kubectl when it applies by the server.
const KUBECTL: &str = "kubectl";
/// Where it notes what it applied on its own.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The conflicts but for those of kubectl with itself: over fields that it applied before and that are still as it noted.
pub(super) fn without_own(
    schema: &Schema,
    live: &Value,
    manager: &Manager,
    mut conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let own = (manager.name == KUBECTL && !conflicts.is_empty()).then(|| note(live)).flatten();
    let own = own.filter(|noted| noted["apiVersion"] == manager.api_version);
    let Some(noted) = own.filter(|noted| fields::faults(&schema.root, noted).is_empty()) else { return conflicts };
    let (Ok(mut own), Ok(difference)) = (fields::of(&schema.root, &noted), changes(schema, &noted, live, manager))
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
pub(super) fn refresh(object: &mut Value, wanted: &Value, manager: &Manager) {
    if manager.name != KUBECTL || note_text(object).is_none() {
        return;
    }
    let mut noted = wanted.clone();
    if let Some(annotations) = noted.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove(ANNOTATION);
    }
    let text = json_text(&noted) + "\n";
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(ANNOTATION.into(), json!(text));
    }
}

fn note_text(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()
}

fn note(object: &Value) -> Option<Value> {
    serde_json::from_str(note_text(object)?).ok()
}
