//! Projections: the objects that a watch shows of the stored ones.

use std::sync::Arc;
use std::vec;

use super::cached_event::StoredStates;
use super::event_type::EventType;
use crate::machinery::selector::Selector;
use crate::meta::{Kind, Status};
use crate::store::Revision;

/// Shows stored objects of type `S` as objects of type `V`: as they are, or as views of their parts.
pub(crate) trait Projection<S, V>: Send + Sync + 'static {
    /// The shown objects that an event adds, modifies or deletes.
    ///
    /// # Errors
    /// 500 for a stored object that cannot be decoded.
    fn changes(&self, states: &StoredStates<'_, S>) -> Result<ShownChanges<S>, Status>;

    /// The shown objects of an existing object, as added ones.
    fn existing(&self, stored: Arc<S>, revision: Revision) -> ShownChanges<S>;

    /// The shown object with this name.
    ///
    /// # Errors
    /// 500 for a view that cannot be computed.
    fn show(&self, stored: Arc<S>, name: &str) -> Result<V, Status>;
}

/// The projection of a watch, and the names of the shown objects that it selects.
pub(crate) struct Shown<S, V> {
    /// The projection.
    pub(crate) projection: Arc<dyn Projection<S, V>>,
    /// The requirements for the names of views.
    pub(crate) names: Selector,
}

/// The event of one shown object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownChange {
    /// The name of a view; empty for a stored object itself.
    pub(crate) name: Box<str>,
    /// The type of the event.
    pub(crate) r#type: EventType,
}

/// The shown objects that differ between two states of a stored object.
pub(crate) struct ShownChanges<S> {
    /// The state before; none if there is none, or if no change needs it.
    before: Option<Arc<S>>,
    /// The state after, as `before`.
    after: Option<Arc<S>>,
    /// The revision of the last change: a watch that resumes after it continues with the next event.
    revision: Revision,
    /// The revision of the other changes. A watch that resumes after one of them must get the rest
    /// of the event, so it is less than that of the event.
    partial_revision: Revision,
    /// The changes that follow.
    changes: vec::IntoIter<ShownChange>,
}

/// Shows stored objects as they are.
pub(crate) struct Identity;

impl<S: Kind> ShownChanges<S> {
    /// The changes of an event at a revision.
    pub(crate) fn of_event(
        before: Option<Arc<S>>,
        after: Option<Arc<S>>,
        revision: Revision,
        changes: Vec<ShownChange>,
    ) -> Self {
        let partial_revision = Revision(revision.0.saturating_sub(1));
        Self { before, after, revision, partial_revision, changes: changes.into_iter() }
    }

    /// The additions of an existing object, all at its revision.
    pub(crate) fn of_existing(
        stored: Arc<S>,
        revision: Revision,
        changes: Vec<ShownChange>,
    ) -> Self {
        let (after, changes) = (Some(stored), changes.into_iter());
        Self { before: None, after, revision, partial_revision: revision, changes }
    }

    /// The changes of views with these names only.
    pub(crate) fn named(mut self, names: &Selector) -> Self {
        if !names.is_empty() {
            let selected = self.changes.filter(|change| names.selects_name(&change.name));
            self.changes = selected.collect::<Vec<_>>().into_iter();
        }
        self
    }

    /// The next change with its object: the state after the event, or the last one of a deleted
    /// object.
    ///
    /// # Errors
    /// The errors of [`Projection::show`].
    pub(crate) fn next<V: Kind>(
        &mut self,
        projection: &dyn Projection<S, V>,
    ) -> Result<Option<(ShownChange, V)>, Status> {
        let Some(change) = self.changes.next() else {
            return Ok(None);
        };
        let is_last = self.count() == 0;
        let state =
            if change.r#type == EventType::Deleted { &mut self.before } else { &mut self.after };
        let (stored, revision) = match is_last {
            // The last object takes the state, so that it need not be copied.
            true => (state.take(), self.revision),
            false => (state.clone(), self.partial_revision),
        };
        let missing = || Status::hidden("a change has no object");
        let mut object = projection.show(stored.ok_or_else(missing)?, &change.name)?;
        object.metadata_mut().resource_version = revision.to_string();
        Ok(Some((change, object)))
    }

    /// The number of changes that follow.
    pub(crate) fn count(&self) -> usize {
        self.changes.len()
    }
}

impl<S: Kind> Projection<S, S> for Identity {
    fn changes(&self, states: &StoredStates<'_, S>) -> Result<ShownChanges<S>, Status> {
        let change = ShownChange { name: Box::default(), r#type: states.r#type };
        let (before, after) = match states.r#type {
            EventType::Deleted => (states.before()?, None),
            EventType::Added | EventType::Modified => (None, states.after()?),
        };
        Ok(ShownChanges::of_event(before, after, states.revision(), vec![change]))
    }

    fn existing(&self, stored: Arc<S>, revision: Revision) -> ShownChanges<S> {
        let change = ShownChange { name: Box::default(), r#type: EventType::Added };
        ShownChanges::of_existing(stored, revision, vec![change])
    }

    fn show(&self, stored: Arc<S>, _: &str) -> Result<S, Status> {
        Ok(Arc::unwrap_or_clone(stored))
    }
}
