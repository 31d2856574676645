//! Objects of other types that a write changes in the same transaction.

use super::admission::attributes::AdmissionAttributes;
use super::admission::chain::Admitted;
use super::guaranteed_update::ReadSet;
use super::object_change::ObjectChange;
use crate::meta::Status;
use crate::store::Key;

/// Objects that change together with another one, such as the images of an image stream.
pub trait Companions<T>: Sync {
    /// The result of the changes.
    type Outcome: Send;

    /// Decides the changes from the current entries. `new` is the object that the write stores. Runs
    /// again after each conflict with another write.
    ///
    /// # Errors
    /// The Status of a change that is not possible. Nothing is stored then.
    fn decide(
        &self,
        new: &T,
        read_set: &ReadSet,
        admitted: &Admitted,
    ) -> Result<CompanionDecision<Self::Outcome>, Status>;
}

/// The next step of the companions.
pub enum CompanionDecision<R> {
    /// These keys must be read first.
    Read(Vec<Key>),
    /// The admission chain must run for these changes.
    Admit(Vec<AdmissionAttributes>),
    /// These changes are stored, if any.
    Write(Vec<ObjectChange>, R),
}

/// No other objects.
pub(super) struct NoCompanions;

impl<T> Companions<T> for NoCompanions {
    type Outcome = ();

    fn decide(&self, _: &T, _: &ReadSet, _: &Admitted) -> Result<CompanionDecision<()>, Status> {
        Ok(CompanionDecision::Write(Vec::new(), ()))
    }
}
