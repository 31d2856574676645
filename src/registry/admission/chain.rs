//! The admission chain, and the writes that it admitted in a transaction.

use super::attributes::{AdmissionAttributes, AdmissionOperation, DynObject};
use super::plugin::{AdmissionPlugin, Reservation};
use crate::meta::{GroupResource, ObjectMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::object_change::ObjectChange;
use crate::store::Revision;

/// The plugins in the order in which they run.
#[derive(Default)]
pub struct AdmissionChain(Vec<Box<dyn AdmissionPlugin>>);

/// The writes of a transaction that the chain admitted.
#[derive(Default)]
pub struct Admitted(Vec<AdmittedWrite>);

struct AdmittedWrite {
    operation: AdmissionOperation,
    resource: GroupResource<'static>,
    namespace: String,
    name: String,
    /// The resourceVersion of the old object; empty for a create.
    old_version: String,
    reservations: Vec<Box<dyn Reservation>>,
}

impl AdmissionChain {
    /// A chain of these plugins.
    pub fn new(plugins: Vec<Box<dyn AdmissionPlugin>>) -> Self {
        Self(plugins)
    }

    /// Returns true if a plugin checks this operation.
    pub fn handles(&self, operation: AdmissionOperation) -> bool {
        self.0.iter().any(|plugin| plugin.handles(operation))
    }

    /// Runs the plugins that check this operation.
    ///
    /// # Errors
    /// The Status of the first plugin that refuses the write.
    pub async fn admit(
        &self,
        attributes: &AdmissionAttributes,
        actor: &Actor,
        admitted: &mut Admitted,
    ) -> Result<(), Status> {
        // The previous reservation is released before the next one is taken.
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
    pub(in crate::registry) fn committed(&self, changes: &[ObjectChange], revision: Revision) {
        for change in changes {
            self.0.iter().for_each(|plugin| plugin.committed(change, revision));
        }
    }
}

impl Admitted {
    /// Returns true if this write was admitted, and its old object is still the same.
    pub(in crate::registry) fn covers(
        &self,
        operation: AdmissionOperation,
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

    pub(in crate::registry) fn commit_begun(&mut self) {
        self.reservations().for_each(|reservation| reservation.commit_begun());
    }

    pub(in crate::registry) fn commit_refused(&mut self) {
        self.reservations().for_each(|reservation| reservation.commit_refused());
    }

    pub(in crate::registry) fn committed(&mut self, revision: Revision) {
        let writes = self.0.drain(..);
        let reservations = writes.flat_map(|write| write.reservations);
        reservations.for_each(|reservation| reservation.committed(revision));
    }

    fn reservations(&mut self) -> impl Iterator<Item = &mut Box<dyn Reservation>> {
        self.0.iter_mut().flat_map(|write| &mut write.reservations)
    }
}

impl AdmittedWrite {
    fn is_of(&self, attributes: &AdmissionAttributes) -> bool {
        self.resource == attributes.resource
            && self.namespace == attributes.namespace
            && self.name == attributes.name
    }
}

fn old_version(old: Option<&dyn DynObject>) -> &str {
    old.map_or("", |old| old.metadata().resource_version.as_str())
}
