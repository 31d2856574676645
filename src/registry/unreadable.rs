//! Unreadable objects: their stored value is damaged or cannot be decoded.
//!
//! Such an object costs nothing but itself. As in KEP-3926, it can be deleted with
//! `ignoreStoreReadErrorWithClusterBreakingPotential`, which skips preconditions and finalizers and
//! needs the permission [`UNSAFE_DELETE`]. The same permission allows to replace it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

use super::object_change::ObjectChange;
use super::object_store::ObjectStore;
use super::read_set::ReadSet;
use crate::meta::{GroupResource, Kind, Status, field};
use crate::registry::actor::Actor;
use crate::registry::read::{self, ReadEntry};
use crate::registry::storage_errors::status_of;
use crate::registry::strategy::Strategy;
use crate::registry::workload::Workload;
use crate::store::{Key, StoreError};

/// The verb of the permission to delete or replace unreadable objects.
pub const UNSAFE_DELETE: &str = "unsafe-delete-ignore-read-errors";
/// The delete option, as errors name it.
pub const OPTION: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

/// The state of an object in a read set.
pub enum ObjectState<T> {
    /// The object does not exist.
    Missing,
    /// The object.
    Readable(Box<T>),
    /// The object exists and cannot be read; the error of a read.
    Unreadable(Box<Status>),
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// The state of the object under a key.
    pub fn state(&self, read_set: &ReadSet, key: &Key) -> ObjectState<T> {
        let object =
            read_set.entry(key).and_then(|entry| entry.map(|entry| self.decode(entry)).transpose());
        match object {
            Ok(None) => ObjectState::Missing,
            Ok(Some(object)) => ObjectState::Readable(Box::new(object)),
            Err(status) => ObjectState::Unreadable(Box::new(status)),
        }
    }

    /// Reads the state of an object.
    ///
    /// # Errors
    /// 429 if the memory is used up, and store failures other than a damaged value.
    pub async fn find_state(
        &self,
        load: &Workload,
        namespace: &str,
        name: &str,
    ) -> Result<ObjectState<T>, Status> {
        let key = self.key(namespace, name);
        let object = match read::read_possibly_damaged(self.store(), load, &key, 0).await? {
            ReadEntry::Missing => return Ok(ObjectState::Missing),
            ReadEntry::Found(entry) => self.decode(&entry),
            ReadEntry::Damaged(revision) => Err(status_of(&StoreError::Damaged { key, revision })),
        };
        Ok(match object {
            Ok(object) => ObjectState::Readable(Box::new(object)),
            Err(status) => ObjectState::Unreadable(Box::new(status)),
        })
    }

    /// The change that removes or replaces an unreadable object. It also removes derived rows that
    /// the object may have.
    ///
    /// # Errors
    /// 413 for an object over the size limit.
    pub fn change_unreadable(
        &self,
        key: &Key,
        (namespace, name): (&str, &str),
        new: Option<&T>,
    ) -> Result<ObjectChange, Status> {
        let mut change = self.change(key, (namespace, name), None, new)?;
        for row in self.strategy().rows_after_damage(name, new) {
            if change.rows.iter().all(|written| written.key() != row.key()) {
                change.rows.push(row);
            }
        }
        Ok(change)
    }

    /// Requires the permission [`UNSAFE_DELETE`] for an object.
    ///
    /// # Errors
    /// 403 without the permission, 503 if it could not be reviewed.
    pub(super) async fn require_unsafe_delete(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
    ) -> Result<(), Status> {
        let action = self.action(UNSAFE_DELETE, namespace, name);
        actor.permissions.require(&actor.user, action).await
    }
}

/// Returns true if the options allow to delete an unreadable object.
pub fn ignores_read_errors(options: &DeleteOptions) -> bool {
    options.ignore_store_read_error_with_cluster_breaking_potential == Some(true)
}

/// Refuses the option for an object that is not stored by itself, such as a tag.
///
/// # Errors
/// 422 if the option is set.
pub fn refuse_unsafe_delete(
    resource: GroupResource<'_>,
    name: &str,
    options: &DeleteOptions,
) -> Result<(), Status> {
    if ignores_read_errors(options) { Err(not_unreadable(resource, name)) } else { Ok(()) }
}

/// The 422 for the unsafe deletion of anything but an unreadable object, as in
/// k8s.io/apiserver/pkg/registry/generic/registry/corrupt_obj_deleter.go.
pub fn not_unreadable(resource: GroupResource<'_>, name: &str) -> Status {
    let rule = "is exclusively used to delete corrupt object(s), try again by removing this option";
    Status::invalid(resource, name, &field::Error::invalid_value(OPTION, true, rule).into())
}
