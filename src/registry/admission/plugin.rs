//! The contract of admission plugins.

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::attributes::{AdmissionAttributes, AdmissionPhase, AdmissionTarget, WriteSummary};
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::object_change::ObjectChange;
use crate::store::Revision;

/// A plugin of the admission chain. It implements one of the phases, or both.
pub trait AdmissionPlugin: Send + Sync {
    /// Returns true if the plugin takes part in a phase of such writes. Other writes do not wait
    /// for it, and cost nothing.
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool;

    /// Returns true if the plugin has something to check in such a write. A run of the chain copies
    /// the objects and repeats the edit, so common writes should do without.
    fn concerns(&self, _write: &WriteSummary<'_>) -> bool {
        true
    }

    /// Changes or checks the requested object, before the strategy validates it. As `Admit` in
    /// k8s.io/apiserver/pkg/admission/interfaces.go.
    ///
    /// # Errors
    /// The Status of the rejection.
    fn mutate<'a>(
        &'a self,
        _attributes: &'a mut AdmissionAttributes,
        _actor: &'a Actor,
    ) -> BoxFuture<'a, Result<(), Status>> {
        future::ready(Ok(())).boxed()
    }

    /// Checks the valid object. The returned reservation is settled when the transaction ends. As
    /// `Validate` in k8s.io/apiserver/pkg/admission/interfaces.go.
    ///
    /// # Errors
    /// The Status of the rejection.
    fn validate<'a>(
        &'a self,
        _attributes: &'a AdmissionAttributes,
        _actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        future::ready(Ok(None)).boxed()
    }

    /// Observes a change that was committed at this revision.
    fn committed(&self, _change: &ObjectChange, _revision: Revision) {}
}

/// A part of a counted resource that a write takes. Dropping it releases it, unless the outcome of
/// the commit is unknown.
pub trait Reservation: Send {
    /// The commit begins. Until it ends, its outcome is unknown.
    fn commit_begun(&mut self);

    /// The commit conflicted: nothing was written.
    fn commit_refused(&mut self);

    /// The write was committed at this revision.
    fn committed(self: Box<Self>, revision: Revision);
}
