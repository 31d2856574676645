//! Objects of other types that a write changes in the same transaction.

use super::admission::attributes::AdmissionStep;
use super::admission::chain::Admitted;
use super::object_change::ObjectChange;
use super::object_store::ObjectStore;
use super::read_set::ReadSet;
use super::strategy::Strategy;
use crate::meta::{Kind, Status};
use crate::store::{Change, Key};

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
    Admit(Vec<AdmissionStep>),
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

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Takes the companions that must be stored before an object, because one transaction does not
    /// hold all: as many of other resources as one transaction holds. `None` if it holds all.
    pub(super) fn ahead_of(
        &self,
        companions: &mut Vec<ObjectChange>,
        change: &ObjectChange,
    ) -> Option<Vec<ObjectChange>> {
        let (max_changes, max_bytes) = (self.store().max_changes(), self.store().max_bytes());
        let fits = |changes: usize, bytes: u64| changes <= max_changes && bytes <= max_bytes;
        let size = |change: &ObjectChange| {
            (change.rows.len(), change.rows.iter().map(Change::stored_bytes).sum::<u64>())
        };
        let all = companions.iter().chain([change]).map(size);
        let (rows, bytes) = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if fits(rows, bytes) {
            return None;
        }
        let (mut rows, mut bytes) = (0, 0);
        let is_ahead = |companion: &&ObjectChange| {
            let (more_rows, more_bytes) = size(companion);
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            companion.resource != self.resource() && fits(rows, bytes)
        };
        let count = companions.iter().take_while(is_ahead).count();
        (count > 0).then(|| companions.drain(..count).collect())
    }
}
