//! Who owns which field: the bookkeeping in `metadata.managedFields`, and server-side apply, which rests on it.
//!
//! Works on JSON. The rules are those of Kubernetes' structured merge: who sets a field owns it; an apply that would change
//! what another owns is a conflict; a field that its last owner applies no more is taken away.

mod apply;
mod conflict;
mod difference;
mod element;
mod fields;
mod form;
mod last_applied;
mod merge;
mod owners;
mod set;

use std::sync::LazyLock;

use serde_json::{Map, Value};

pub use self::apply::{Conflicts, applied};
use self::difference::{Difference, difference};
use self::element::Element;
use self::owners::{Operation, Owner, Owners};
use self::set::Set;
use crate::machinery::schema::Schema;
use crate::meta::{ManagedFieldsEntry, Time};

/// Who writes, through what, and when.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Name of the writer.
    pub name: String,
    /// The subresource that is written through; empty for the object itself.
    pub subresource: &'static str,
    /// Group and version of the fields, as in `apiVersion`.
    pub api_version: &'static str,
    /// When.
    pub time: Time,
    /// Names of the fields beside `metadata` that cannot be written this way, such as `status`; they are never owned.
    pub ignored: &'static [&'static str],
}

/// `new` with the `metadata.managedFields` that creating it (`old` is none), or putting it in the place of `old`, leads to.
///
/// To be called with what the client sent, decoded and with defaults, before the server sets anything else, and with what
/// the client could see of `old`. The object `old` carries the present managedFields. `[]` or `[{}]` in `new` ends the
/// tracking; an object that is not tracked stays so. Where a list cannot be told apart into items, owners stay as they are.
pub fn updated(schema: &Schema, old: Option<&Value>, mut new: Value, manager: &Manager) -> Value {
    let given = take_managed_fields(&mut new);
    let mut owners = owners_before(old, given, manager);
    if owners.is_empty() && old.is_some() {
        return new;
    }
    let owner = Owner::new(&manager.name, Operation::Update, manager.api_version, manager.subresource);
    if let Ok(difference) = changes(schema, old.unwrap_or(&schema.empty), &new, manager) {
        owners.update(owner, difference, manager.time);
        owners.cap();
    }
    set_managed_fields(&mut new, owners);
    new
}

/// Whether two lists of owners differ in nothing but times: then nobody has changed anything.
pub fn differ_in_times_only(old: &[ManagedFieldsEntry], new: &[ManagedFieldsEntry]) -> bool {
    let same = |(old, new): (&ManagedFieldsEntry, &ManagedFieldsEntry)| {
        ManagedFieldsEntry { time: None, ..old.clone() } == ManagedFieldsEntry { time: None, ..new.clone() }
    };
    old.len() == new.len() && old.iter().zip(new).all(same)
}

/// The owners of a object's fields before an update. A client may set them, but not through a subresource; one that
/// leaves them out, or sends none that can be read, leaves them as they are.
fn owners_before(old: Option<&Value>, given: Option<Value>, manager: &Manager) -> Owners {
    let given = given.filter(|_| manager.subresource.is_empty());
    if given.as_ref().is_some_and(is_reset) {
        return Owners::default();
    }
    let given = Owners::read(given.as_ref()).filter(|owners| !owners.is_empty());
    given.or_else(|| Owners::read(managed_fields(old?))).unwrap_or_default()
}

fn is_reset(entries: &Value) -> bool {
    let is_blank = |entry: &Value| entry.as_object().is_some_and(Map::is_empty);
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => is_blank(one),
        _ => false,
    }
}

/// What changed, without what nobody owns.
fn changes(schema: &Schema, old: &Value, new: &Value, manager: &Manager) -> Result<Difference, String> {
    let mut difference = difference(&schema.root, old, new)?;
    difference.changed.subtract(&NEVER_OWNED);
    difference.removed.subtract(&NEVER_OWNED);
    for name in manager.ignored {
        difference.ignore(name);
    }
    Ok(difference)
}

impl Owners {
    /// What changed now belongs to `owner`, and to nobody else.
    fn update(&mut self, owner: Owner, difference: Difference, time: Time) {
        let Difference { changed, removed } = difference;
        self.release(&changed, None, &owner.api_version);
        self.release(&removed, None, &owner.api_version);
        if !changed.is_empty() {
            let owner = self.entry(&owner);
            owner.fields.add(changed);
            owner.time = Some(time);
        }
        self.drop_idle();
    }
}

/// Fields of every object that nobody owns, since they say which object it is, or only the server sets them.
static NEVER_OWNED: LazyLock<Set> = LazyLock::new(|| {
    const METADATA: [&str; 8] =
        ["name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion"];
    let member = |parts: &[&str]| {
        let mut set = Set::leaf();
        parts.iter().for_each(|name| set.insert(Element::Field((*name).to_owned()), Set::leaf()));
        set
    };
    let mut all = Set::default();
    for (name, set) in [("kind", Set::leaf()), ("apiVersion", Set::leaf()), ("metadata", member(&METADATA))] {
        all.insert(Element::Field(name.to_owned()), set);
    }
    all
});

fn managed_fields(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.shift_remove("managedFields")
}

fn set_managed_fields(object: &mut Value, owners: Owners) {
    if owners.is_empty() {
        return;
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".into(), owners.written());
    }
}

#[cfg(test)]
mod tests;
