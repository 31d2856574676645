//! Server-side apply: a client says which fields it wants and how, and the server makes it so, or says who objects.

use serde_json::Value;

use super::conflict::{self, Conflict};
use super::owners::{Operation, Owner, Owners};
use super::set::Set;
use super::{
    Difference, Element, Manager, NEVER_OWNED, changes, fields, last_applied, managed_fields, merge, set_managed_fields,
};
use crate::machinery::schema::Schema;
use crate::meta::{Status, excerpt};

/// Who owns what was there before anybody applied anything to an object that nobody tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// What to do where an apply wants to change fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// Nothing is changed, and the conflicts are told.
    Refuse,
    /// The fields change, and with them their owner.
    Force,
}

/// The object that applying `wanted` makes of `live` (none for an object that does not exist), with its managedFields.
///
/// What is applied is not always kept: of an empty map, for one, nothing is. So a result that only
/// [differs in times](super::differ_in_times_only) from the live object is no change.
///
/// # Errors
/// 400 for a wrong kind, version or field, 409 with the conflicts.
pub fn applied(
    schema: &Schema,
    live: Option<&Value>,
    wanted: &Value,
    manager: &Manager,
    conflicts: Conflicts,
) -> Result<Value, Status> {
    check(schema, wanted, manager)?;
    let apply = Apply::new(schema, live, wanted, manager)?;
    let found = apply.conflicts();
    let refused = match conflicts {
        Conflicts::Force => Vec::new(),
        Conflicts::Refuse => last_applied::without_own(schema, apply.live, manager, found),
    };
    if !refused.is_empty() {
        return Err(conflict::refusal(refused));
    }
    Ok(apply.finish(wanted))
}

/// Refuses what is no object of the kind. Unlike other bodies, one that is applied must say what it is and fit exactly.
fn check(schema: &Schema, wanted: &Value, manager: &Manager) -> Result<(), Status> {
    let text = |key: &str| wanted.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind != schema.kind || api_version != manager.api_version {
        let slash = if api_version.contains('/') { "" } else { "/" };
        let (api_version, kind) = (excerpt::of(api_version), excerpt::of(kind));
        return Err(Status::bad_request(format!("invalid object type: {slash}{api_version}, Kind={kind}")));
    }
    if managed_fields(wanted).is_some_and(|entries| !entries.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let faults = fields::faults(&schema.root, wanted);
    match &faults[..] {
        [] => Ok(()),
        [one] => Err(no_object(wanted, one)),
        several => {
            let more = if faults.is_cut() { "\n  and more, which are not shown" } else { "" };
            Err(no_object(wanted, &format!("errors:\n  {}{more}", several.join("\n  "))))
        }
    }
}

fn no_object(wanted: &Value, why: &str) -> Status {
    let text = |value: Option<&Value>| excerpt::of(value.and_then(Value::as_str).unwrap_or_default());
    let metadata = wanted.get("metadata");
    let of_metadata = |key: &str| text(metadata.and_then(|metadata| metadata.get(key)));
    let (namespace, name) = (of_metadata("namespace"), of_metadata("name"));
    let (api_version, kind) = (text(wanted.get("apiVersion")), text(wanted.get("kind")));
    Status::bad_request(format!(
        "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {why}"
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
    difference: Difference,
}

impl<'a> Apply<'a> {
    fn new(
        schema: &'a Schema,
        present: Option<&'a Value>,
        wanted: &Value,
        manager: &'a Manager,
    ) -> Result<Self, Status> {
        let live = present.unwrap_or(&schema.empty);
        let refuse = |why: String| no_object(wanted, &why);
        let mut owners = owners_before(schema, live, manager);
        let mut owner = Owner::new(&manager.name, Operation::Apply, manager.api_version, manager.subresource);
        let last = std::mem::take(&mut owners.entry(&owner).fields);
        owner.time = owners.entry(&owner).time;
        owner.fields = fields::of(&schema.root, wanted).map_err(refuse)?;

        let mut merged = without_managed_fields(live);
        merge::merge(&schema.root, &mut merged, wanted).map_err(refuse)?;
        keep_type(&mut merged, live);
        if !last.is_empty() {
            merge::prune(&schema.root, &mut merged, &last, &owned(&owners, &owner));
        }
        release_what_nobody_owns(&mut owner.fields, manager);
        let difference = changes(schema, live, &merged, manager).map_err(refuse)?;
        Ok(Self { live, is_new: present.is_none(), manager, owners, owner, merged, difference })
    }

    /// The fields of others that change.
    fn conflicts(&self) -> Vec<Conflict> {
        let others = self
            .owners
            .iter()
            .filter(|owner| owner.identity != self.owner.identity && owner.api_version == self.manager.api_version);
        let conflicts = others.map(|owner| Conflict {
            owner: owner.identity.clone(),
            fields: owner.fields.intersection(&self.difference.changed),
        });
        conflicts.filter(|conflict| !conflict.fields.is_empty()).collect()
    }

    /// The object after, with its owners.
    fn finish(mut self, wanted: &Value) -> Value {
        let Difference { changed, removed } = &self.difference;
        let (identity, version) = (&self.owner.identity, self.manager.api_version);
        self.owners.release(changed, Some(identity), version);
        self.owners.release(removed, Some(identity), version);
        // Who applies what is there already owns it from now on, but has changed nothing.
        if self.is_new || !changed.is_empty() || !removed.is_empty() {
            self.owner.time = Some(self.manager.time);
        }
        self.owners.put(self.owner);
        self.owners.drop_idle();
        last_applied::refresh(&mut self.merged, wanted, self.manager);
        set_managed_fields(&mut self.merged, self.owners);
        self.merged
    }
}

/// The owners of a live object. One that is there and that nobody owns gets an owner for all that it has.
fn owners_before(schema: &Schema, live: &Value, manager: &Manager) -> Owners {
    let mut owners = Owners::read(managed_fields(live)).unwrap_or_default();
    if owners.is_empty() {
        let owner = Owner::new(BEFORE_FIRST_APPLY, Operation::Update, manager.api_version, manager.subresource);
        if let Ok(difference) = changes(schema, &schema.empty, live, manager) {
            owners.update(owner, difference, manager.time);
        }
    }
    owners
}

/// Takes out of the fields that somebody applies those that cannot be owned.
fn release_what_nobody_owns(fields: &mut Set, manager: &Manager) {
    fields.subtract(&NEVER_OWNED);
    manager.ignored.iter().for_each(|name| fields.drop_part(&Element::Field((*name).to_owned())));
}

/// What any owner has, and what `owner` wants. What nobody can own, such as the name, keeps what is around it as well.
///
/// One set: asking each owner for each field would cost the product of their numbers.
fn owned(owners: &Owners, owner: &Owner) -> Set {
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
fn keep_type(object: &mut Value, before: &Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, _| !["kind", "apiVersion"].contains(&name.as_str()) || before.get(name).is_some());
    }
}
