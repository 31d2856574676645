//! Server-side apply (`Updater.Apply` in `sigs.k8s.io/structured-merge-diff/merge`).

use serde_json::Value;

use super::conflict::{self, Conflict};
use super::field_set::FieldSet;
use super::owners::{ManagedFieldsOperation, Owner, Owners};
use super::{
    Comparison, Manager, PathElement, STRIPPED_FIELDS, changes, entries_of, last_applied, merge,
    schema_validation, set_entries,
};
use crate::machinery::schema::Schema;
use crate::meta::{Status, excerpt};

/// Owner of the fields of an object without `managedFields` when it is first applied
/// (`skipnonapplied.go`).
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Handling of conflicts with other owners, from the query parameter `force`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// Rejects the request and reports the conflicts.
    Fail,
    /// Changes the fields and takes over their ownership.
    Force,
}

/// Applies a configuration to the `live` object (none for a missing object) and returns the result
/// with its `managedFields`.
///
/// A result that differs from the live object only in the times of `managedFields` is no change.
/// The times differ for configurations with parts that are not stored, such as an empty map.
///
/// # Errors
/// 400 for a configuration with a wrong kind, version or field; 409 with the conflicts.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager,
    policy: ConflictPolicy,
) -> Result<Value, Status> {
    check_applied(schema, applied, manager)?;
    let apply = Apply::new(schema, live, applied, manager)?;
    let all = apply.conflicts();
    let conflicts = match policy {
        ConflictPolicy::Force => Vec::new(),
        ConflictPolicy::Fail => last_applied::without_own_fields(schema, apply.live, manager, all),
    };
    if !conflicts.is_empty() {
        return Err(conflict::conflict_error(conflicts));
    }
    Ok(apply.finish(applied))
}

/// Checks that the configuration is a valid object of the kind. In contrast to other request
/// bodies, `kind`, `apiVersion` and all fields must match exactly.
fn check_applied(schema: &Schema, applied: &Value, manager: &Manager) -> Result<(), Status> {
    let text = |key: &str| applied.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind != schema.kind || api_version != manager.api_version {
        let slash = if api_version.contains('/') { "" } else { "/" };
        let (api_version, kind) = (excerpt::of(api_version), excerpt::of(kind));
        return Err(Status::bad_request(format!(
            "invalid object type: {slash}{api_version}, Kind={kind}"
        )));
    }
    if entries_of(applied).is_some_and(|entries| !entries.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let errors = schema_validation::validate(&schema.root, applied);
    match &errors[..] {
        [] => Ok(()),
        [one] => Err(typed_patch_error(applied, one)),
        several => {
            let more = if errors.is_cut() { "\n  and more, which are not shown" } else { "" };
            Err(typed_patch_error(applied, &format!("errors:\n  {}{more}", several.join("\n  "))))
        }
    }
}

fn typed_patch_error(applied: &Value, reason: &str) -> Status {
    let text =
        |value: Option<&Value>| excerpt::of(value.and_then(Value::as_str).unwrap_or_default());
    let metadata = applied.get("metadata");
    let of_metadata = |key: &str| text(metadata.and_then(|metadata| metadata.get(key)));
    let (namespace, name) = (of_metadata("namespace"), of_metadata("name"));
    let (api_version, kind) = (text(applied.get("apiVersion")), text(applied.get("kind")));
    Status::bad_request(format!(
        "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {reason}"
    ))
}

/// State of an apply operation.
struct Apply<'a> {
    live: &'a Value,
    is_new: bool,
    manager: &'a Manager,
    /// The owners before the operation, including the applier.
    owners: Owners,
    /// The applier with the fields of its configuration.
    owner: Owner,
    /// The resulting object.
    merged: Value,
    /// The changes from the live to the resulting object.
    comparison: Comparison,
}

impl<'a> Apply<'a> {
    fn new(
        schema: &'a Schema,
        existing: Option<&'a Value>,
        applied: &Value,
        manager: &'a Manager,
    ) -> Result<Self, Status> {
        let live = existing.unwrap_or(&schema.empty);
        let refuse = |reason: String| typed_patch_error(applied, &reason);
        let mut owners = owners_before(schema, live, manager);
        let mut owner = Owner::new(
            &manager.name,
            ManagedFieldsOperation::Apply,
            manager.api_version,
            manager.subresource,
        );
        let last_fields = std::mem::take(&mut owners.entry(&owner).fields);
        owner.time = owners.entry(&owner).time;
        owner.fields = FieldSet::of(&schema.root, applied).map_err(refuse)?;

        let mut merged = without_managed_fields(live);
        merge::merge(&schema.root, &mut merged, applied).map_err(refuse)?;
        restore_type_meta(&mut merged, live);
        if !last_fields.is_empty() {
            merge::prune(&schema.root, &mut merged, &last_fields, &owned_fields(&owners, &owner));
        }
        strip(&mut owner.fields, manager);
        let comparison = changes(schema, live, &merged, manager).map_err(refuse)?;
        Ok(Self { live, is_new: existing.is_none(), manager, owners, owner, merged, comparison })
    }

    /// The changed fields of other owners.
    fn conflicts(&self) -> Vec<Conflict> {
        let others = self.owners.iter().filter(|owner| {
            owner.id != self.owner.id && owner.api_version == self.manager.api_version
        });
        let conflicts = others.map(|owner| Conflict {
            owner: owner.id.clone(),
            fields: owner.fields.intersection(&self.comparison.changed),
        });
        conflicts.filter(|conflict| !conflict.fields.is_empty()).collect()
    }

    /// Returns the resulting object with its `managedFields`.
    fn finish(mut self, applied: &Value) -> Value {
        let Comparison { changed, removed } = &self.comparison;
        let (id, version) = (&self.owner.id, self.manager.api_version);
        self.owners.release(changed, Some(id), version);
        self.owners.release(removed, Some(id), version);
        // An applier that sets existing values becomes an owner without changing the object.
        if self.is_new || !changed.is_empty() || !removed.is_empty() {
            self.owner.time = Some(self.manager.time);
        }
        self.owners.insert(self.owner);
        self.owners.remove_empty();
        last_applied::update_annotation(&mut self.merged, applied, self.manager);
        set_entries(&mut self.merged, self.owners);
        self.merged
    }
}

/// The owners of a live object. An existing object without owners gets one for all its fields, also
/// for those that this request cannot write.
fn owners_before(schema: &Schema, live: &Value, manager: &Manager) -> Owners {
    let mut owners = Owners::read(entries_of(live)).unwrap_or_default();
    if owners.is_empty() {
        let owner = Owner::new(
            BEFORE_FIRST_APPLY,
            ManagedFieldsOperation::Update,
            manager.api_version,
            manager.subresource,
        );
        let of_all_fields = Manager { ignored: &[], ..manager.clone() };
        if let Ok(comparison) = changes(schema, &schema.empty, live, &of_all_fields) {
            owners.update(owner, comparison, manager.time);
        }
    }
    owners
}

/// Removes fields that cannot be owned.
fn strip(fields: &mut FieldSet, manager: &Manager) {
    fields.subtract(&STRIPPED_FIELDS);
    manager
        .ignored
        .iter()
        .for_each(|name| fields.remove_part(&PathElement::Field((*name).to_owned())));
}

/// Union of the fields of all owners, with the new fields of `owner`.
///
/// Pruning looks up each field in this one set. A lookup in the set of each owner would multiply
/// the cost by their number.
fn owned_fields(owners: &Owners, owner: &Owner) -> FieldSet {
    let mut all = owner.fields.clone();
    let others = owners.iter().filter(|other| other.api_version == owner.api_version);
    others.for_each(|other| all.add(other.fields.clone()));
    all
}

/// Copies an object without `managedFields`, which may be its largest part.
fn without_managed_fields(object: &Value) -> Value {
    let (Some(fields), Some(metadata)) =
        (object.as_object(), object.get("metadata").and_then(Value::as_object))
    else {
        return object.clone();
    };
    let copied = |name: &String, value: &Value| (name.clone(), value.clone());
    let metadata = metadata.iter().filter(|(name, _)| *name != "managedFields");
    let metadata = Value::Object(metadata.map(|(name, value)| copied(name, value)).collect());
    let fields = fields.iter().map(|(name, value)| match name.as_str() {
        "metadata" => (name.clone(), metadata.clone()),
        _ => copied(name, value),
    });
    Value::Object(fields.collect())
}

/// Removes `kind` and `apiVersion` from an object if `before` lacks them.
fn restore_type_meta(object: &mut Value, before: &Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, _| {
            !["kind", "apiVersion"].contains(&name.as_str()) || before.get(name).is_some()
        });
    }
}
