//! Migration from client-side to server-side apply with the annotation `last-applied-configuration`
//! of kubectl (`lastappliedmanager.go` and `lastappliedupdater.go` in
//! `k8s.io/apimachinery/pkg/util/managedfields/internal`).

use serde_json::{Value, json};

use super::conflict::Conflict;
use super::field_set::FieldSet;
use super::{Manager, changes, schema_validation};
use crate::machinery::json;
use crate::machinery::schema::Schema;

/// Field manager of kubectl for server-side apply.
const KUBECTL: &str = "kubectl";
/// The configuration that kubectl last applied on the client side.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The conflicts without fields that kubectl itself applied on the client side and that have not
/// changed since (`allowedConflictsFromLastApplied`).
pub(super) fn without_own_fields(
    schema: &Schema,
    live: &Value,
    manager: &Manager,
    mut conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let own =
        (manager.name == KUBECTL && !conflicts.is_empty()).then(|| last_applied_in(live)).flatten();
    let own = own.filter(|last_applied| last_applied["apiVersion"] == manager.api_version);
    let Some(last_applied) = own
        .filter(|last_applied| schema_validation::validate(&schema.root, last_applied).is_empty())
    else {
        return conflicts;
    };
    let (Ok(mut own), Ok(comparison)) =
        (FieldSet::of(&schema.root, &last_applied), changes(schema, &last_applied, live, manager))
    else {
        return conflicts;
    };
    own.subtract(&comparison.changed);
    own.subtract(&comparison.removed);
    conflicts.iter_mut().for_each(|conflict| conflict.fields.subtract(&own));
    conflicts.retain(|conflict| !conflict.fields.is_empty());
    conflicts
}

/// Updates the annotation if there is one, so that kubectl can return to client-side apply.
pub(super) fn update_annotation(object: &mut Value, applied: &Value, manager: &Manager) {
    if manager.name != KUBECTL || annotation_text(object).is_none() {
        return;
    }
    let mut last_applied = applied.clone();
    if let Some(annotations) =
        last_applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.shift_remove(ANNOTATION);
    }
    let text = json::to_text(&last_applied) + "\n";
    if let Some(annotations) =
        object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.insert(ANNOTATION.into(), json!(text));
    }
}

fn annotation_text(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()
}

fn last_applied_in(object: &Value) -> Option<Value> {
    serde_json::from_str(annotation_text(object)?).ok()
}
