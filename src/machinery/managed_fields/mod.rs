//! Field ownership in `metadata.managedFields`, and server-side apply
//! (`k8s.io/apimachinery/pkg/util/managedfields`, `sigs.k8s.io/structured-merge-diff`).
//!
//! All functions work on JSON values. The rules: a manager owns the fields that it sets; an apply
//! that would change a field of another manager is a conflict; a field that no manager applies any
//! more is removed.

mod apply;
mod comparison;
mod conflict;
mod field_set;
mod granularity;
mod last_applied;
mod merge;
mod owners;
mod path_element;
mod schema_validation;

use std::sync::LazyLock;

use serde_json::{Map, Value};

pub use self::apply::{ConflictPolicy, apply};
use self::comparison::{Comparison, compare};
use self::field_set::FieldSet;
use self::owners::{ManagedFieldsOperation, Owner, Owners};
use self::path_element::PathElement;
use crate::machinery::schema::Schema;
use crate::meta::Time;

/// The writer of a request.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Name of the field manager.
    pub name: String,
    /// Subresource of the request; empty for the object itself.
    pub subresource: &'static str,
    /// Group and version of the fields, as in `apiVersion`.
    pub api_version: &'static str,
    /// Time of the write.
    pub time: Time,
    /// Top-level fields that this request cannot write, such as `status`. They are never owned.
    pub ignored: &'static [&'static str],
}

/// Returns `new` with the `metadata.managedFields` after a create (`old` is none) or an update of
/// `old`.
///
/// `new` must be the object that the client sent, decoded and with defaults, before the server sets
/// other fields. `old` must be the object as clients see it, with its current `managedFields`. `[]`
/// or `[{}]` in `new` ends the tracking (`isResetManagedFields`); an untracked object stays
/// untracked. Owners do not change if a list has items without a valid key.
pub fn update(schema: &Schema, old: Option<&Value>, mut new: Value, manager: &Manager) -> Value {
    let given = take_entries(&mut new);
    let mut owners = owners_before(old, given, manager);
    if owners.is_empty() && old.is_some() {
        return new;
    }
    let owner = Owner::new(
        &manager.name,
        ManagedFieldsOperation::Update,
        manager.api_version,
        manager.subresource,
    );
    if let Ok(comparison) = changes(schema, old.unwrap_or(&schema.empty), &new, manager) {
        owners.update(owner, comparison, manager.time);
        owners.cap();
    }
    set_entries(&mut new, owners);
    new
}

/// The owners of an object before an update. A client may set them, but not through a subresource.
/// Missing or invalid entries in the request leave them unchanged.
fn owners_before(old: Option<&Value>, given: Option<Value>, manager: &Manager) -> Owners {
    let given = given.filter(|_| manager.subresource.is_empty());
    if given.as_ref().is_some_and(is_reset) {
        return Owners::default();
    }
    let given = Owners::read(given.as_ref()).filter(|owners| !owners.is_empty());
    given.or_else(|| Owners::read(entries_of(old?))).unwrap_or_default()
}

fn is_reset(entries: &Value) -> bool {
    let is_empty_entry = |entry: &Value| entry.as_object().is_some_and(Map::is_empty);
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => is_empty_entry(one),
        _ => false,
    }
}

/// The changes between two objects, without fields that cannot be owned.
fn changes(
    schema: &Schema,
    old: &Value,
    new: &Value,
    manager: &Manager,
) -> Result<Comparison, String> {
    let mut comparison = compare(&schema.root, old, new)?;
    comparison.changed.subtract(&STRIPPED_FIELDS);
    comparison.removed.subtract(&STRIPPED_FIELDS);
    for name in manager.ignored {
        comparison.exclude(name);
    }
    Ok(comparison)
}

impl Owners {
    /// Assigns the changed fields to `owner` and removes them from all others.
    fn update(&mut self, owner: Owner, comparison: Comparison, time: Time) {
        let Comparison { changed, removed } = comparison;
        self.release(&changed, None, &owner.api_version);
        self.release(&removed, None, &owner.api_version);
        if !changed.is_empty() {
            let owner = self.entry(&owner);
            owner.fields.add(changed);
            owner.time = Some(time);
        }
        self.remove_empty();
    }
}

/// Metadata that nobody owns, because it identifies the object or only the server sets it
/// (`stripMeta` in `k8s.io/apimachinery/pkg/util/managedfields/internal/stripmeta.go`).
static STRIPPED_FIELDS: LazyLock<FieldSet> = LazyLock::new(|| {
    const METADATA: [&str; 8] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let member = |parts: &[&str]| {
        let mut set = FieldSet::leaf();
        parts
            .iter()
            .for_each(|name| set.insert(PathElement::Field((*name).to_owned()), FieldSet::leaf()));
        set
    };
    let mut all = FieldSet::default();
    for (name, set) in [
        ("kind", FieldSet::leaf()),
        ("apiVersion", FieldSet::leaf()),
        ("metadata", member(&METADATA)),
    ] {
        all.insert(PathElement::Field(name.to_owned()), set);
    }
    all
});

fn entries_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

fn take_entries(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.shift_remove("managedFields")
}

fn set_entries(object: &mut Value, owners: Owners) {
    if owners.is_empty() {
        return;
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".into(), owners.into_json());
    }
}

#[cfg(test)]
mod tests;
