//! Server-side apply: a client says which fields it wants and how, and the server makes it so, or says who objects.

use serde_json::Value;

use super::conflict::{self, Conflict};
use super::field_set::FieldSet;
use super::owners::{ManagedFieldsOperation, Owner, Owners};
use super::{
    Comparison, Manager, PathElement, STRIPPED_FIELDS, changes, entries_of, last_applied, merge, schema_validation,
    set_entries,
};
use crate::machinery::schema::Schema;
use crate::meta::{Status, excerpt};

/// Who owns what was there before anybody applied anything to an object that nobody tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// What to do where an apply wants to change fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// Nothing is changed, and the conflicts are told.
    Fail,
    /// The fields change, and with them their owner.
    Force,
}

/// The object that applying `applied` makes of `live` (none for an object that does not exist), with its managedFields.
///
/// What is applied is not always kept: of an empty map, for one, nothing is. So a result that only
/// [differs in times](super::differ_in_times_only) from the live object is no change.
///
/// # Errors
/// 400 for a wrong kind, version or field, 409 with the conflicts.
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

/// Refuses what is no object of the kind. Unlike other bodies, one that is applied must say what it is and fit exactly.
fn check_applied(schema: &Schema, applied: &Value, manager: &Manager) -> Result<(), Status> {
    let text = |key: &str| applied.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind != schema.kind || api_version != manager.api_version {
        let slash = if api_version.contains('/') { "" } else { "/" };
        let (api_version, kind) = (excerpt::of(api_version), excerpt::of(kind));
        return Err(Status::bad_request(format!("invalid object type: {slash}{api_version}, Kind={kind}")));
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
    let text = |value: Option<&Value>| excerpt::of(value.and_then(Value::as_str).unwrap_or_default());
    let metadata = applied.get("metadata");
    let of_metadata = |key: &str| text(metadata.and_then(|metadata| metadata.get(key)));
    let (namespace, name) = (of_metadata("namespace"), of_metadata("name"));
    let (api_version, kind) = (text(applied.get("apiVersion")), text(applied.get("kind")));
    Status::bad_request(format!(
        "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {reason}"
    ))
}

/// An apply on its way.
struct Apply<'a> {
    live: &'a Value,
    is_new: bool,
    manager: &'a Manager,
    /// The owners before, the one who applies among them.
    owners: Owners,
    /// Who applies, and what it wants.
    owner: Owner,
    /// The object after.
    merged: Value,
    /// What that changes.
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
        let mut owner =
            Owner::new(&manager.name, ManagedFieldsOperation::Apply, manager.api_version, manager.subresource);
        let last_fields = std::mem::take(&mut owners.entry(&owner).fields);
        owner.time = owners.entry(&owner).time;
        owner.fields = schema_validation::field_set_of(&schema.root, applied).map_err(refuse)?;

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

    /// The fields of others that change.
    fn conflicts(&self) -> Vec<Conflict> {
        let others = self
            .owners
            .iter()
            .filter(|owner| owner.id != self.owner.id && owner.api_version == self.manager.api_version);
        let conflicts = others.map(|owner| Conflict {
            owner: owner.id.clone(),
            fields: owner.fields.intersection(&self.comparison.changed),
        });
        conflicts.filter(|conflict| !conflict.fields.is_empty()).collect()
    }

    /// The object after, with its owners.
    fn finish(mut self, applied: &Value) -> Value {
        let Comparison { changed, removed } = &self.comparison;
        let (id, version) = (&self.owner.id, self.manager.api_version);
        self.owners.release(changed, Some(id), version);
        self.owners.release(removed, Some(id), version);
        // Who applies what is there already owns it from now on, but has changed nothing.
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

/// The owners of a live object. One that is there and that nobody owns gets an owner for all that it has.
fn owners_before(schema: &Schema, live: &Value, manager: &Manager) -> Owners {
    let mut owners = Owners::read(entries_of(live)).unwrap_or_default();
    if owners.is_empty() {
        let owner =
            Owner::new(BEFORE_FIRST_APPLY, ManagedFieldsOperation::Update, manager.api_version, manager.subresource);
        if let Ok(comparison) = changes(schema, &schema.empty, live, manager) {
            owners.update(owner, comparison, manager.time);
        }
    }
    owners
}

/// Takes out of the fields that somebody applies those that cannot be owned.
fn strip(fields: &mut FieldSet, manager: &Manager) {
    fields.subtract(&STRIPPED_FIELDS);
    manager.ignored.iter().for_each(|name| fields.remove_part(&PathElement::Field((*name).to_owned())));
}

/// What any owner has, and what `owner` wants. What nobody can own, such as the name, keeps what is around it as well.
///
/// One set: asking each owner for each field would cost the product of their numbers.
fn owned_fields(owners: &Owners, owner: &Owner) -> FieldSet {
    let mut all = owner.fields.clone();
    let others = owners.iter().filter(|other| other.api_version == owner.api_version);
    others.for_each(|other| all.add(other.fields.clone()));
    all
}

/// A copy of an object without its owners, who may take up most of it.
fn without_managed_fields(object: &Value) -> Value {
    let (Some(fields), Some(metadata)) = (object.as_object(), object.get("metadata").and_then(Value::as_object)) else {
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

/// An object says what it is exactly if it did so before.
fn restore_type_meta(object: &mut Value, before: &Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, _| !["kind", "apiVersion"].contains(&name.as_str()) || before.get(name).is_some());
    }
}
