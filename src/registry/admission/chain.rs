//! The admission chain, and the writes that it admitted in a transaction.

use std::sync::Arc;

use super::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionPhase, AdmissionStep, AdmissionTarget,
    DynObject, WriteSummary, typed,
};
use super::plugin::{AdmissionPlugin, Reservation};
use crate::cluster::Namespaces;
use crate::meta::{GroupResource, Kind, ObjectMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::object_change::ObjectChange;
use crate::store::Revision;

/// The plugins in the order in which they run.
#[derive(Default)]
pub struct AdmissionChain(Vec<Box<dyn AdmissionPlugin>>);

/// The writes of a transaction that the chain admitted.
pub struct Admitted {
    steps: Vec<AdmittedStep>,
    namespaces: Namespaces,
}

struct AdmittedStep {
    phase: AdmissionPhase,
    operation: AdmissionOperation,
    resource: GroupResource<'static>,
    namespace: String,
    name: String,
    /// The resourceVersion of the old object; empty for a create.
    old_version: String,
    /// The object after the mutating phase; none for a deletion and in the validating phase.
    mutated: Option<Arc<dyn DynObject>>,
    reservations: Vec<Box<dyn Reservation>>,
}

/// A phase of a write that was admitted, on the same old object.
#[derive(Clone, Copy)]
pub struct AdmittedPhase<'a>(&'a AdmittedStep);

impl AdmissionChain {
    /// A chain of these plugins.
    pub fn new(plugins: Vec<Box<dyn AdmissionPlugin>>) -> Self {
        Self(plugins)
    }

    /// Returns true if a plugin takes part in a phase of such writes.
    pub fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        self.0.iter().any(|plugin| plugin.handles(phase, target))
    }

    /// Runs the mutating phase of the create of an object that has no name or system fields yet.
    /// It runs once for each request.
    ///
    /// # Errors
    /// The Status of the first plugin that rejects the object.
    pub async fn mutate_new<T: Kind>(
        &self,
        target: AdmissionTarget,
        namespace: &str,
        object: T,
        actor: &Actor,
    ) -> Result<T, Status> {
        if !self.handles(AdmissionPhase::Mutate, &target) {
            return Ok(object);
        }
        let mut attributes = AdmissionAttributes {
            target,
            namespace: namespace.to_owned(),
            name: object.metadata().name.clone(),
            old: None,
            new: Some(Arc::new(object)),
        };
        self.mutate(&mut attributes, actor).await?;
        Ok(typed(attributes.new.expect("plugins keep the object of a create")))
    }

    /// Runs the validating phase of the create of a virtual object, whose write is an update of
    /// other objects.
    ///
    /// # Errors
    /// The Status of the first plugin that rejects the object.
    pub async fn validate_virtual<T: Kind>(
        &self,
        target: AdmissionTarget,
        object: &T,
        actor: &Actor,
    ) -> Result<(), Status> {
        if !self.handles(AdmissionPhase::Validate, &target) {
            return Ok(());
        }
        let meta = object.metadata();
        let attributes = AdmissionAttributes {
            target,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            old: None,
            new: Some(Arc::new(object.clone())),
        };
        self.validate(&attributes, actor).await.map(drop)
    }

    /// Returns true if a plugin has something to do in a phase of a write.
    pub fn concerns(
        &self,
        phase: AdmissionPhase,
        target: &AdmissionTarget,
        write: &WriteSummary<'_>,
    ) -> bool {
        self.0.iter().any(|plugin| plugin.handles(phase, target) && plugin.concerns(write))
    }

    /// The run of a phase that a write of a transaction needs; none if it was admitted, or if it
    /// concerns no plugin.
    pub fn step<T: Kind>(
        &self,
        admitted: &Admitted,
        (phase, target): (AdmissionPhase, AdmissionTarget),
        namespaced_name: (&str, &str),
        old: Option<&T>,
        new: Option<&T>,
    ) -> Option<Box<AdmissionStep>> {
        let (old_meta, new_meta) = (old.map(|old| old.metadata()), new.map(|new| new.metadata()));
        let write = admitted.summary(namespaced_name.0, old_meta, new_meta);
        if !self.concerns(phase, &target, &write)
            || admitted.find(phase, &target, namespaced_name, write.old).is_some()
        {
            return None;
        }
        let object = |object: Option<&T>| {
            object.map(|object| Arc::new(object.clone()) as Arc<dyn DynObject>)
        };
        let attributes = AdmissionAttributes {
            target,
            namespace: namespaced_name.0.to_owned(),
            name: namespaced_name.1.to_owned(),
            old: object(old),
            new: object(new),
        };
        Some(Box::new(AdmissionStep { phase, attributes }))
    }

    /// Runs a phase for a write of a transaction.
    ///
    /// # Errors
    /// The Status of the first plugin that rejects the write.
    pub async fn admit(
        &self,
        step: AdmissionStep,
        actor: &Actor,
        admitted: &mut Admitted,
    ) -> Result<(), Status> {
        let AdmissionStep { phase, mut attributes } = step;
        // Earlier reservations are released before the next ones are taken.
        admitted.steps.retain(|earlier| !earlier.is_replaced_by(phase, &attributes));
        let (mutated, reservations) = match phase {
            AdmissionPhase::Mutate => {
                self.mutate(&mut attributes, actor).await?;
                (attributes.new.clone(), Vec::new())
            }
            AdmissionPhase::Validate => (None, self.validate(&attributes, actor).await?),
        };
        let AdmissionAttributes { target, namespace, name, old, .. } = attributes;
        let AdmissionTarget { operation, resource, .. } = target;
        let old_version = version_of(old.as_deref().map(|old| old.metadata())).to_owned();
        admitted.steps.push(AdmittedStep {
            phase,
            operation,
            resource,
            namespace,
            name,
            old_version,
            mutated,
            reservations,
        });
        Ok(())
    }

    async fn mutate(
        &self,
        attributes: &mut AdmissionAttributes,
        actor: &Actor,
    ) -> Result<(), Status> {
        for plugin in &self.0 {
            if plugin.handles(AdmissionPhase::Mutate, &attributes.target) {
                plugin.mutate(attributes, actor).await?;
            }
        }
        Ok(())
    }

    async fn validate(
        &self,
        attributes: &AdmissionAttributes,
        actor: &Actor,
    ) -> Result<Vec<Box<dyn Reservation>>, Status> {
        let mut reservations = Vec::new();
        for plugin in &self.0 {
            if plugin.handles(AdmissionPhase::Validate, &attributes.target) {
                reservations.extend(plugin.validate(attributes, actor).await?);
            }
        }
        Ok(reservations)
    }

    /// Lets the plugins observe committed changes.
    pub(in crate::registry) fn committed(&self, changes: &[ObjectChange], revision: Revision) {
        for change in changes {
            self.0.iter().for_each(|plugin| plugin.committed(change, revision));
        }
    }
}

impl Admitted {
    /// No writes yet, in these namespaces of the cluster.
    pub(in crate::registry) fn none(namespaces: Namespaces) -> Self {
        Self { steps: Vec::new(), namespaces }
    }

    /// The summary of a write in the namespaces of the cluster.
    pub(in crate::registry) fn summary<'a>(
        &'a self,
        namespace: &'a str,
        old: Option<&'a ObjectMeta>,
        new: Option<&'a ObjectMeta>,
    ) -> WriteSummary<'a> {
        WriteSummary { namespace, namespaces: &self.namespaces, old, new }
    }

    /// The phase of a write, if it was admitted and the old object is still the same.
    pub fn find(
        &self,
        phase: AdmissionPhase,
        target: &AdmissionTarget,
        (namespace, name): (&str, &str),
        old: Option<&ObjectMeta>,
    ) -> Option<AdmittedPhase<'_>> {
        let is_same = |step: &&AdmittedStep| {
            step.phase == phase
                && step.operation == target.operation
                && step.resource == target.resource
                && (step.namespace.as_str(), step.name.as_str()) == (namespace, name)
                && step.old_version == version_of(old)
        };
        self.steps.iter().find(is_same).map(AdmittedPhase)
    }

    pub(in crate::registry) fn commit_begun(&mut self) {
        self.reservations().for_each(|reservation| reservation.commit_begun());
    }

    pub(in crate::registry) fn commit_refused(&mut self) {
        self.reservations().for_each(|reservation| reservation.commit_refused());
    }

    pub(in crate::registry) fn committed(&mut self, revision: Revision) {
        let steps = self.steps.drain(..);
        let reservations = steps.flat_map(|step| step.reservations);
        reservations.for_each(|reservation| reservation.committed(revision));
    }

    fn reservations(&mut self) -> impl Iterator<Item = &mut Box<dyn Reservation>> {
        self.steps.iter_mut().flat_map(|step| &mut step.reservations)
    }
}

impl AdmittedPhase<'_> {
    /// The object after the mutating phase.
    pub fn mutated<T: Kind>(self) -> Option<T> {
        self.0.mutated.clone().map(typed)
    }
}

impl AdmittedStep {
    /// Returns true if a step repeats this one or an earlier phase of the same write.
    fn is_replaced_by(&self, phase: AdmissionPhase, attributes: &AdmissionAttributes) -> bool {
        self.resource == attributes.target.resource
            && self.namespace == attributes.namespace
            && self.name == attributes.name
            && (self.phase == phase || phase == AdmissionPhase::Mutate)
    }
}

fn version_of(old: Option<&ObjectMeta>) -> &str {
    old.map_or("", |old| old.resource_version.as_str())
}
