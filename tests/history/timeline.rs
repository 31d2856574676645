//! Timeline of all objects, from everything that clients have seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::record::{
    Change, Collection, Content, History, Moment, Object, Response, Revision, Version,
};
use super::violation::Violation;

/// State of an object from a revision on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Present(Content),
    /// Deleted; the object had this uid.
    Absent(u128),
}

/// All states of all objects by revision.
#[derive(Default)]
pub(crate) struct Timeline {
    objects: BTreeMap<Object, BTreeMap<Revision, State>>,
    revisions: BTreeMap<Collection, BTreeMap<Revision, Object>>,
    all: BTreeSet<Revision>,
    /// First delivery of each deletion.
    deletions: BTreeMap<(Object, Revision), Moment>,
}

impl Timeline {
    /// Collects the evidence of a history. Contradictions are appended to `violations`.
    pub(crate) fn of(history: &History, violations: &mut Vec<Violation>) -> Self {
        let mut timeline = Self::default();
        let mut add = |object, revision, state| timeline.add(object, revision, state, violations);
        for operation in &history.operations {
            match &operation.response {
                Response::Object(Version { revision, content }) => {
                    if let Some(object) = operation.call.object() {
                        add(object, *revision, State::Present(*content));
                    }
                }
                Response::Listed { items, .. } => {
                    for (object, Version { revision, content }) in items {
                        add(*object, *revision, State::Present(*content));
                    }
                }
                _ => {}
            }
        }
        for event in history.watches.iter().flat_map(|watch| &watch.events) {
            let Version { revision, content } = event.version;
            let state = match event.change {
                Change::Added | Change::Modified => State::Present(content),
                Change::Deleted => State::Absent(content.uid),
            };
            add(event.object, revision, state);
        }
        for event in history.watches.iter().flat_map(|watch| &watch.events) {
            if event.change == Change::Deleted {
                let key = (event.object, event.version.revision);
                let first = timeline.deletions.entry(key).or_insert(event.at);
                *first = event.at.min(*first);
            }
        }
        timeline
    }

    fn add(
        &mut self,
        object: Object,
        revision: Revision,
        state: State,
        violations: &mut Vec<Violation>,
    ) {
        let known = *self.objects.entry(object).or_default().entry(revision).or_insert(state);
        if known != state {
            let found = Violation::Contradiction { object, revision };
            if !violations.contains(&found) {
                violations.push(found);
            }
        }
        self.revisions.entry(object.collection()).or_default().insert(revision, object);
        self.all.insert(revision);
    }

    /// All states in the order of objects and revisions, each with the one before.
    pub(crate) fn changes(
        &self,
    ) -> impl Iterator<Item = (Object, Revision, State, Option<(Revision, State)>)> {
        self.objects.iter().flat_map(|(object, states)| {
            let mut before = None;
            states.iter().map(move |(revision, state)| {
                (*object, *revision, *state, before.replace((*revision, *state)))
            })
        })
    }

    /// The state at a revision, with the revision of its change.
    pub(crate) fn at(&self, object: Object, revision: Revision) -> Option<(Revision, State)> {
        let states = self.objects.get(&object)?;
        states.range(..=revision).next_back().map(|(at, state)| (*at, *state))
    }

    /// The changes of an object after a revision.
    pub(crate) fn after(
        &self,
        object: Object,
        revision: Revision,
    ) -> impl Iterator<Item = (Revision, State)> {
        let states = self.objects.get(&object).into_iter();
        states
            .flat_map(move |states| states.range((Excluded(revision), Unbounded)))
            .map(|(at, state)| (*at, *state))
    }

    /// The changed object of each revision of a collection in `(after, end]`.
    pub(crate) fn changed(
        &self,
        collection: Collection,
        after: Revision,
        end: Revision,
    ) -> impl Iterator<Item = (Revision, Object)> {
        let revisions = self.revisions.get(&collection).into_iter();
        revisions
            .flat_map(move |all| all.range((Excluded(after), Included(end.max(after)))))
            .map(|(at, object)| (*at, *object))
    }

    /// The latest commit at or before a revision.
    pub(crate) fn commit_at(&self, revision: Revision) -> Option<Revision> {
        self.all.range(..=revision).next_back().copied()
    }

    /// The first delivery of a deletion.
    pub(crate) fn delivered(&self, object: Object, deletion: Revision) -> Option<Moment> {
        self.deletions.get(&(object, deletion)).copied()
    }
}

impl State {
    pub(crate) fn content(self) -> Option<Content> {
        match self {
            Self::Present(content) => Some(content),
            Self::Absent(_) => None,
        }
    }
}
