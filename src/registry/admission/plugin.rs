//! The contract of admission plugins.

use futures_util::future::BoxFuture;

use super::attributes::{AdmissionAttributes, AdmissionOperation};
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::object_change::ObjectChange;
use crate::store::Revision;

/// One check of the chain.
pub trait AdmissionPlugin: Send + Sync {
    /// Returns true if the plugin checks this operation. Other writes do not wait for it.
    fn handles(&self, operation: AdmissionOperation) -> bool;

    /// Checks a write. The reservation of a counted resource is settled when the transaction ends.
    ///
    /// # Errors
    /// The Status that refuses the write.
    fn admit<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
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
