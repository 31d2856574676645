//! The owners of the fields of an object: the entries of `metadata.managedFields`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field_set::FieldSet;
use crate::meta::Time;

/// Maximum number of entries from updates (`DefaultMaxUpdateManagers`). The oldest entries above it
/// are merged.
const MAX_UPDATERS: usize = 10;
/// Owner of the merged entries (`NewCapManagersManager`).
const ANCIENT_CHANGES: &str = "ancient-changes";

/// Type of the operation by which an owner got its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ManagedFieldsOperation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    Update,
}

/// Identity of an owner (`BuildManagerIdentifier`). The order is that of conflicts in error
/// messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerId {
    /// Name of the field manager.
    pub(super) manager: String,
    pub(super) operation: ManagedFieldsOperation,
    /// Group and version of the fields; empty for appliers, whose identity does not depend on it.
    pub(super) api_version: String,
    /// Subresource of its writes; empty for the object itself.
    pub(super) subresource: String,
}

/// An owner with its fields.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) id: ManagerId,
    /// Group and version of the fields.
    pub(super) api_version: String,
    /// Time of the last change.
    pub(super) time: Option<Time>,
    pub(super) fields: FieldSet,
}

/// All owners of an object by identity. A map, because clients may send tens of thousands.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(BTreeMap<ManagerId, Owner>);

impl Owner {
    /// Creates an owner without fields.
    pub(super) fn new(
        manager: &str,
        operation: ManagedFieldsOperation,
        api_version: &str,
        subresource: &str,
    ) -> Self {
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
        let mut owner =
            Self::new(text("manager"), operation, text("apiVersion"), text("subresource"));
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

    /// Sort key in `managedFields` (`sortEncodedManagedFields`).
    fn sort_key(&self) -> (ManagedFieldsOperation, i64, &str, &str, &str) {
        let ManagerId { manager, operation, subresource, .. } = &self.id;
        (*operation, self.seconds(), manager, &self.api_version, subresource)
    }

    fn seconds(&self) -> i64 {
        self.time.map_or(0, Time::unix_seconds)
    }
}

impl Owners {
    /// Parses `managedFields`; none if an entry is invalid. A missing list has no owners.
    pub(super) fn read(entries: Option<&Value>) -> Option<Self> {
        let mut owners = Self::default();
        for entry in entries.and_then(Value::as_array).into_iter().flatten() {
            owners.insert(Owner::read(entry)?);
        }
        Some(owners)
    }

    /// Encodes `managedFields`: appliers first, then by time.
    pub(super) fn into_json(self) -> Value {
        let mut owners: Vec<Owner> = self.0.into_values().collect();
        owners.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Value::Array(owners.iter().map(Owner::to_json).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.0.values()
    }

    /// The entry with the identity of `owner`; inserts `owner` if there is none.
    pub(super) fn entry(&mut self, owner: &Owner) -> &mut Owner {
        self.0.entry(owner.id.clone()).or_insert_with(|| owner.clone())
    }

    /// Inserts an owner, or replaces the one with the same identity.
    pub(super) fn insert(&mut self, owner: Owner) {
        self.0.insert(owner.id.clone(), owner);
    }

    /// Removes fields from all owners except `keeper`. Also removes owners whose fields have
    /// another version, because it is no longer served.
    pub(super) fn release(
        &mut self,
        fields: &FieldSet,
        keeper: Option<&ManagerId>,
        api_version: &str,
    ) {
        self.0.retain(|id, owner| {
            let is_keeper = Some(id) == keeper;
            if !is_keeper {
                owner.fields.subtract(fields);
            }
            is_keeper || owner.api_version == api_version
        });
    }

    /// Removes owners without fields.
    pub(super) fn remove_empty(&mut self) {
        self.0.retain(|_, owner| !owner.fields.is_empty());
    }

    /// Merges the oldest entries from updates if there are more than [`MAX_UPDATERS`].
    pub(super) fn cap(&mut self) {
        let updaters =
            self.iter().filter(|owner| owner.id.operation == ManagedFieldsOperation::Update);
        let mut updaters: Vec<_> =
            updaters.map(|owner| (owner.seconds(), owner.id.clone())).collect();
        let Some(surplus) = updaters.len().checked_sub(MAX_UPDATERS).filter(|surplus| *surplus > 0)
        else {
            return;
        };
        updaters.sort();
        // Merging into a new bucket, or a bucket into itself, does not reduce the number of
        // entries.
        let is_bucket =
            |(_, id): &(i64, ManagerId)| id.manager == ANCIENT_CHANGES && id.subresource.is_empty();
        let thrown = surplus
            + usize::from(updaters.iter().position(is_bucket).is_none_or(|at| at <= surplus));
        for (_, id) in updaters.into_iter().take(thrown) {
            let Some(old) = self.0.remove(&id) else { continue };
            let bucket = self.entry(&Owner::new(
                ANCIENT_CHANGES,
                ManagedFieldsOperation::Update,
                &old.api_version,
                "",
            ));
            bucket.fields.add(old.fields);
            bucket.time = old.time.or(bucket.time);
        }
    }
}
