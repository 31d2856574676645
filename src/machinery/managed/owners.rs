//! `metadata.managedFields`: who owns which fields, as a list of owners, read, kept within bounds and written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::set::Set;
use crate::meta::Time;

/// The most owners by updates; the fields of the oldest beyond that are thrown together.
const MOST_UPDATERS: usize = 10;
/// Who owns what was thrown together.
const ANCIENT: &str = "ancient-changes";

/// How an owner came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// By applying them.
    Apply,
    /// By any other write.
    Update,
}

/// What tells owners apart. In the order in which conflicts are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// Name of the writer.
    pub(super) manager: String,
    /// How it writes.
    pub(super) operation: Operation,
    /// The version of the fields; empty for who applies, who stays the same whatever the version.
    pub(super) api_version: String,
    /// The subresource that it writes through.
    pub(super) subresource: String,
}

/// Who owns some fields.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) identity: Identity,
    /// The version of the fields.
    pub(super) api_version: String,
    /// When the owner last changed the object.
    pub(super) time: Option<Time>,
    /// What it owns.
    pub(super) fields: Set,
}

/// All owners of an object's fields, by identity: clients may send tens of thousands.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(BTreeMap<Identity, Owner>);

impl Owner {
    /// An owner that has nothing yet.
    pub(super) fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        let version = match operation {
            Operation::Apply => "",
            Operation::Update => api_version,
        };
        let identity = Identity {
            manager: manager.to_owned(),
            operation,
            api_version: version.to_owned(),
            subresource: subresource.to_owned(),
        };
        Self { identity, api_version: api_version.to_owned(), time: None, fields: Set::default() }
    }

    fn read(entry: &Value) -> Option<Self> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" {
            return None;
        }
        let mut owner = Self::new(text("manager"), operation, text("apiVersion"), text("subresource"));
        owner.time = text("time").parse().ok();
        if let Some(fields) = entry.get("fieldsV1").filter(|fields| !fields.is_null()) {
            owner.fields = Set::read(fields)?;
        }
        Some(owner)
    }

    fn written(&self) -> Value {
        let Identity { manager, operation, subresource, .. } = &self.identity;
        let operation = match operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = Map::new();
        let mut set = |key: &str, value: Value| _ = entry.insert(key.to_owned(), value);
        if !manager.is_empty() {
            set("manager", json!(manager));
        }
        set("operation", json!(operation));
        set("apiVersion", json!(self.api_version));
        if let Some(time) = self.time {
            set("time", json!(time));
        }
        set("fieldsType", json!("FieldsV1"));
        set("fieldsV1", self.fields.written());
        if !subresource.is_empty() {
            set("subresource", json!(subresource));
        }
        Value::Object(entry)
    }

    /// Sort key in `managedFields`.
    fn place(&self) -> (Operation, i64, &str, &str, &str) {
        let Identity { manager, operation, subresource, .. } = &self.identity;
        (*operation, self.seconds(), manager, &self.api_version, subresource)
    }

    fn seconds(&self) -> i64 {
        self.time.map_or(0, Time::unix_seconds)
    }
}

impl Owners {
    /// Reads `managedFields`; none if an entry is none. No list is no owners.
    pub(super) fn read(entries: Option<&Value>) -> Option<Self> {
        let mut owners = Self::default();
        for entry in entries.and_then(Value::as_array).into_iter().flatten() {
            owners.put(Owner::read(entry)?);
        }
        Some(owners)
    }

    /// `managedFields`, in the order of the reference: who applies first, then by time.
    pub(super) fn written(self) -> Value {
        let mut owners: Vec<Owner> = self.0.into_values().collect();
        owners.sort_by(|a, b| a.place().cmp(&b.place()));
        Value::Array(owners.iter().map(Owner::written).collect())
    }

    /// Whether nobody owns anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.0.values()
    }

    /// The owner of this identity; `owner` is put there if there is none.
    pub(super) fn entry(&mut self, owner: &Owner) -> &mut Owner {
        self.0.entry(owner.identity.clone()).or_insert_with(|| owner.clone())
    }

    /// Puts an owner in the place of the one of the same identity.
    pub(super) fn put(&mut self, owner: Owner) {
        self.0.insert(owner.identity.clone(), owner);
    }

    /// Takes fields away from all owners but one. Owners of fields of another version, which are not known any more, go
    /// with all that they have.
    pub(super) fn release(&mut self, fields: &Set, keeper: Option<&Identity>, api_version: &str) {
        self.0.retain(|identity, owner| {
            let is_keeper = Some(identity) == keeper;
            if !is_keeper {
                owner.fields.subtract(fields);
            }
            is_keeper || owner.api_version == api_version
        });
    }

    /// Drops owners that own nothing.
    pub(super) fn drop_idle(&mut self) {
        self.0.retain(|_, owner| !owner.fields.is_empty());
    }

    /// Throws the fields of the oldest updaters together, if there are too many.
    pub(super) fn cap(&mut self) {
        let updaters = self.iter().filter(|owner| owner.identity.operation == Operation::Update);
        let mut updaters: Vec<_> = updaters.map(|owner| (owner.seconds(), owner.identity.clone())).collect();
        let Some(surplus) = updaters.len().checked_sub(MOST_UPDATERS).filter(|surplus| *surplus > 0) else { return };
        updaters.sort();
        // Where there is no bucket yet, or where it is thrown into itself, one more is needed to get rid of one.
        let is_bucket =
            |(_, identity): &(i64, Identity)| identity.manager == ANCIENT && identity.subresource.is_empty();
        let thrown = surplus + usize::from(updaters.iter().position(is_bucket).is_none_or(|at| at <= surplus));
        for (_, identity) in updaters.into_iter().take(thrown) {
            let Some(old) = self.0.remove(&identity) else { continue };
            let bucket = self.entry(&Owner::new(ANCIENT, Operation::Update, &old.api_version, ""));
            bucket.fields.add(old.fields);
            bucket.time = old.time.or(bucket.time);
        }
    }
}
