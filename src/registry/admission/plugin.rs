//! The contract of admission plugins.

use futures_util::future::BoxFuture;

use super::attributes::{AdmissionAttributes, AdmissionOperation};
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::object_change::ObjectChange;
use crate::store::Revision;

/// A plugin of the admission chain.
pub trait AdmissionPlugin: Send + Sync {
    /// Returns true if the plugin checks this operation. Other writes do not wait for it.
    fn handles(&self, operation: AdmissionOperation) -> bool;

    /// Checks a write. The returned reservation is settled when the transaction ends.
    ///
    /// # Errors
    /// The Status of the rejection.
    fn admit<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>>;

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
