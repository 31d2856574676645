//! Admission: checks of a write that need more than the object, such as the cluster or a remote
//! service.
//!
//! The update loop runs the [`Chain`] for each object of a transaction, with the operation, the old
//! and the new object, and the actor. A plugin may await remote calls. It runs again when the object
//! changed in between, as admission does in `Store.Update` of
//! k8s.io/apiserver/pkg/registry/generic/registry/store.go.
//!
//! To add a plugin, implement [`Plugin`] in a file of this folder and name it in the list of
//! [`Catalog::new`](crate::resources::Catalog::new).

mod namespace_lifecycle;
mod object_quota;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

pub use self::namespace_lifecycle::NamespaceLifecycle;
pub use self::object_quota::ObjectQuota;
use super::actor::Actor;
use super::guaranteed_update::ObjectChange;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::value;
use crate::meta::{self, GroupResource, Kind, ObjectMeta, Status};
use crate::store::Revision;

/// The operation of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The object is new.
    Create,
    /// The object replaces the current one.
    Update,
    /// The object is deleted, or its deletion begins.
    Delete,
}

/// A write of one object.
#[derive(Clone)]
pub struct Attributes {
    /// The operation.
    pub operation: Operation,
    /// The resource, which may be virtual, such as `imagestreamtags`.
    pub resource: GroupResource<'static>,
    /// The version of the objects.
    pub api: GroupVersion,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name; empty for a create whose name is not generated yet.
    pub name: String,
    /// The current object; none for a create.
    pub old: Option<Arc<dyn DynObject>>,
    /// The requested object; none for a delete.
    pub new: Option<Arc<dyn DynObject>>,
}

/// An object of any kind.
pub trait DynObject: meta::Object + Send + Sync {
    /// The JSON of the object, with `kind` and `apiVersion`.
    fn to_value(&self, api: GroupVersion) -> Value;
}

impl<T: Kind> DynObject for T {
    fn to_value(&self, api: GroupVersion) -> Value {
        value::to_value(self, api)
    }
}

/// One check of the chain.
pub trait Plugin: Send + Sync {
    /// Returns true if the plugin checks this operation. Other writes do not wait for it.
    fn handles(&self, operation: Operation) -> bool;

    /// Checks a write. The reservation of a counted resource is settled when the transaction ends.
    ///
    /// # Errors
    /// The Status that refuses the write.
    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>>;

    /// Observes a change that was committed at this revision.
    fn committed(&self, _change: &ObjectChange, _revision: Revision) {}
}

/// A part of a counted resource, taken for a write. Dropping it gives it back, unless the outcome of
/// the commit is unknown.
pub trait Reservation: Send {
    /// The commit has begun, so from here on its outcome is unknown.
    fn commit_begun(&mut self);

    /// The commit was refused: nothing was written.
    fn commit_refused(&mut self);

    /// The write was committed at this revision.
    fn committed(self: Box<Self>, revision: Revision);
}

/// The plugins in the order in which they run.
#[derive(Default)]
pub struct Chain(Vec<Box<dyn Plugin>>);

/// The writes of a transaction that the chain admitted.
#[derive(Default)]
pub struct Admitted(Vec<AdmittedWrite>);

struct AdmittedWrite {
    operation: Operation,
    resource: GroupResource<'static>,
    namespace: String,
    name: String,
    /// The resourceVersion of the old object; empty for a create.
    old_version: String,
    reservations: Vec<Box<dyn Reservation>>,
}

impl Chain {
    /// A chain of these plugins.
    pub fn new(plugins: Vec<Box<dyn Plugin>>) -> Self {
        Self(plugins)
    }

    /// Returns true if a plugin checks this operation.
    pub fn handles(&self, operation: Operation) -> bool {
        self.0.iter().any(|plugin| plugin.handles(operation))
    }

    /// Runs the plugins that check this operation.
    ///
    /// # Errors
    /// The Status of the first plugin that refuses the write.
    pub async fn admit(&self, attributes: &Attributes, actor: &Actor, admitted: &mut Admitted) -> Result<(), Status> {
        // A former reservation is given back before the next one is taken.
        admitted.0.retain(|write| !write.is_of(attributes));
        let mut reservations = Vec::new();
        for plugin in self.0.iter().filter(|plugin| plugin.handles(attributes.operation)) {
            reservations.extend(plugin.admit(attributes, actor).await?);
        }
        admitted.0.push(AdmittedWrite {
            operation: attributes.operation,
            resource: attributes.resource,
            namespace: attributes.namespace.clone(),
            name: attributes.name.clone(),
            old_version: old_version(attributes.old.as_deref()).to_owned(),
            reservations,
        });
        Ok(())
    }

    /// Lets the plugins observe committed changes.
    pub(super) fn committed(&self, changes: &[ObjectChange], revision: Revision) {
        for change in changes {
            self.0.iter().for_each(|plugin| plugin.committed(change, revision));
        }
    }
}

impl Admitted {
    /// Returns true if this write was admitted, and its old object is still the same.
    pub(super) fn covers(
        &self,
        operation: Operation,
        (resource, namespace, name): (GroupResource<'_>, &str, &str),
        old: Option<&ObjectMeta>,
    ) -> bool {
        let version = old.map_or("", |old| old.resource_version.as_str());
        self.0.iter().any(|write| {
            write.operation == operation
                && write.resource == resource
                && (write.namespace.as_str(), write.name.as_str()) == (namespace, name)
                && write.old_version == version
        })
    }

    pub(super) fn commit_begun(&mut self) {
        self.reservations().for_each(|reservation| reservation.commit_begun());
    }

    pub(super) fn commit_refused(&mut self) {
        self.reservations().for_each(|reservation| reservation.commit_refused());
    }

    pub(super) fn committed(&mut self, revision: Revision) {
        let writes = self.0.drain(..);
        let reservations = writes.flat_map(|write| write.reservations);
        reservations.for_each(|reservation| reservation.committed(revision));
    }

    fn reservations(&mut self) -> impl Iterator<Item = &mut Box<dyn Reservation>> {
        self.0.iter_mut().flat_map(|write| &mut write.reservations)
    }
}

impl AdmittedWrite {
    fn is_of(&self, attributes: &Attributes) -> bool {
        self.resource == attributes.resource && self.namespace == attributes.namespace && self.name == attributes.name
    }
}

fn old_version(old: Option<&dyn DynObject>) -> &str {
    old.map_or("", |old| old.metadata().resource_version.as_str())
}
