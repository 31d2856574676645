//! `metadata.managedFields`: who owns which fields, as a list of owners, read, kept within bounds and written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field_set::FieldSet;
use crate::meta::Time;

/// The most owners by updates; the fields of the oldest beyond that are thrown together.
const MAX_UPDATERS: usize = 10;
/// Who owns what was thrown together.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// How an owner came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ManagedFieldsOperation {
    /// By applying them.
    Apply,
    /// By any other write.
    Update,
}

/// What tells owners apart. In the order in which conflicts are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerId {
    /// Name of the writer.
    pub(super) manager: String,
    /// How it writes.
    pub(super) operation: ManagedFieldsOperation,
    /// The version of the fields; empty for who applies, who stays the same whatever the version.
    pub(super) api_version: String,
    /// The subresource that it writes through.
    pub(super) subresource: String,
}

/// Who owns some fields.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) id: ManagerId,
    /// The version of the fields.
    pub(super) api_version: String,
    /// When the owner last changed the object.
    pub(super) time: Option<Time>,
    /// What it owns.
    pub(super) fields: FieldSet,
}

/// All owners of an object's fields, by id: clients may send tens of thousands.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(BTreeMap<ManagerId, Owner>);

impl Owner {
    /// An owner that has nothing yet.
    pub(super) fn new(manager: &str, operation: ManagedFieldsOperation, api_version: &str, subresource: &str) -> Self {
        let version = match operation {
            ManagedFieldsOperation::Apply => "",
            ManagedFieldsOperation::Update => api_version,
        };
        let id = ManagerId {
            manager: manager.to_owned(),
            operation,
            api_version: version.to_owned(),
            subresource: subresource.to_owned(),
        };
        Self { id, api_version: api_version.to_owned(), time: None, fields: FieldSet::default() }
    }

    fn read(entry: &Value) -> Option<Self> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => ManagedFieldsOperation::Apply,
            "Update" => ManagedFieldsOperation::Update,
            _ => return None,
        };
        if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" {
            return None;
        }
        let mut owner = Self::new(text("manager"), operation, text("apiVersion"), text("subresource"));
        owner.time = text("time").parse().ok();
        if let Some(fields) = entry.get("fieldsV1").filter(|fields| !fields.is_null()) {
            owner.fields = FieldSet::read(fields)?;
        }
        Some(owner)
    }

    fn to_json(&self) -> Value {
        let ManagerId { manager, operation, subresource, .. } = &self.id;
        let operation = match operation {
            ManagedFieldsOperation::Apply => "Apply",
            ManagedFieldsOperation::Update => "Update",
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
        set("fieldsV1", self.fields.to_json());
        if !subresource.is_empty() {
            set("subresource", json!(subresource));
        }
        Value::Object(entry)
    }

    /// Sort key in `managedFields`.
    fn sort_key(&self) -> (ManagedFieldsOperation, i64, &str, &str, &str) {
        let ManagerId { manager, operation, subresource, .. } = &self.id;
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
            owners.insert(Owner::read(entry)?);
        }
        Some(owners)
    }

    /// `managedFields`, in the order of the reference: who applies first, then by time.
    pub(super) fn into_json(self) -> Value {
        let mut owners: Vec<Owner> = self.0.into_values().collect();
        owners.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Value::Array(owners.iter().map(Owner::to_json).collect())
    }

    /// Whether nobody owns anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.0.values()
    }

    /// The owner of this id; `owner` is put there if there is none.
    pub(super) fn entry(&mut self, owner: &Owner) -> &mut Owner {
        self.0.entry(owner.id.clone()).or_insert_with(|| owner.clone())
    }

    /// Puts an owner in the place of the one of the same id.
    pub(super) fn insert(&mut self, owner: Owner) {
        self.0.insert(owner.id.clone(), owner);
    }

    /// Takes fields away from all owners but one. Owners of fields of another version, which are not known any more, go
    /// with all that they have.
    pub(super) fn release(&mut self, fields: &FieldSet, keeper: Option<&ManagerId>, api_version: &str) {
        self.0.retain(|id, owner| {
            let is_keeper = Some(id) == keeper;
            if !is_keeper {
                owner.fields.subtract(fields);
            }
            is_keeper || owner.api_version == api_version
        });
    }

    /// Drops owners that own nothing.
    pub(super) fn remove_empty(&mut self) {
        self.0.retain(|_, owner| !owner.fields.is_empty());
    }

    /// Throws the fields of the oldest updaters together, if there are too many.
    pub(super) fn cap(&mut self) {
        let updaters = self.iter().filter(|owner| owner.id.operation == ManagedFieldsOperation::Update);
        let mut updaters: Vec<_> = updaters.map(|owner| (owner.seconds(), owner.id.clone())).collect();
        let Some(surplus) = updaters.len().checked_sub(MAX_UPDATERS).filter(|surplus| *surplus > 0) else { return };
        updaters.sort();
        // Where there is no bucket yet, or where it is thrown into itself, one more is needed to get rid of one.
        let is_bucket = |(_, id): &(i64, ManagerId)| id.manager == ANCIENT_CHANGES && id.subresource.is_empty();
        let thrown = surplus + usize::from(updaters.iter().position(is_bucket).is_none_or(|at| at <= surplus));
        for (_, id) in updaters.into_iter().take(thrown) {
            let Some(old) = self.0.remove(&id) else { continue };
            let bucket = self.entry(&Owner::new(ANCIENT_CHANGES, ManagedFieldsOperation::Update, &old.api_version, ""));
            bucket.fields.add(old.fields);
            bucket.time = old.time.or(bucket.time);
        }
    }
}
