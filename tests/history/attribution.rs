//! Attribution of each change in a timeline to the write that made it.

use std::collections::{BTreeMap, HashMap};

use super::record::{
    Call, Content, History, Moment, Number, Object, Operation, Response, Revision,
};
use super::timeline::{State, Timeline};
use super::violation::Violation;

/// Writes by number with the revisions of their changes.
pub(crate) struct Attribution<'a> {
    operations: HashMap<Number, &'a Operation>,
    applied: BTreeMap<Number, Revision>,
    writers: BTreeMap<Revision, Number>,
    /// The time of the call that made each change, where it is certain.
    called: HashMap<(Object, Revision), Moment>,
}

/// One change of an object.
struct Step {
    object: Object,
    revision: Revision,
    before: Option<(Revision, Content)>,
}

impl<'a> Attribution<'a> {
    /// Finds the write of each change. Appends changes without one, and writes that do not agree
    /// with their response, to `violations`.
    pub(crate) fn of(
        history: &'a History,
        timeline: &Timeline,
        violations: &mut Vec<Violation>,
    ) -> Self {
        let operations = history.operations.iter().map(|each| (each.number, each)).collect();
        let mut found = Self {
            operations,
            applied: BTreeMap::new(),
            writers: BTreeMap::new(),
            called: HashMap::new(),
        };
        let deletes = Deletes::of(history);
        for (object, revision, state, before) in timeline.changes() {
            let before = before.and_then(|(at, state)| Some((at, state.content()?)));
            let step = Step { object, revision, before };
            let explained = match state {
                State::Present(content) => found.explain_put(&step, content, violations),
                State::Absent(uid) => {
                    found.explain_deletion(&step, uid, &deletes, timeline, violations)
                }
            };
            // The first change of an object may have happened before the run.
            if !explained && (revision > history.start) {
                violations.push(Violation::Unexplained { object, revision });
            }
        }
        found.check_pushes(history, timeline, violations);
        found.check_responses(history, violations);
        found
    }

    /// The revision of a write, if it was applied.
    pub(crate) fn revision(&self, write: Number) -> Option<Revision> {
        self.applied.get(&write).copied()
    }

    /// The writes that were applied, with their revisions.
    pub(crate) fn applied(&self) -> impl Iterator<Item = (&'a Operation, Revision)> {
        self.applied.iter().map(|(number, revision)| (self.operations[number], *revision))
    }

    /// The time of the call that made a change; zero if several calls may have made it.
    pub(crate) fn called(&self, object: Object, revision: Revision) -> Moment {
        self.called.get(&(object, revision)).copied().unwrap_or_default()
    }

    fn explain_put(
        &mut self,
        step: &Step,
        content: Content,
        violations: &mut Vec<Violation>,
    ) -> bool {
        let Step { object, revision, before } = *step;
        let blank = Content { label: None, push: None, ..content };
        let from = before.map_or(blank, |(_, content)| content);
        let (labelled, pushed) = (from.label != content.label, from.push != content.push);
        let number = match (labelled, pushed) {
            (true, false) => content.label,
            (false, true) => content.push,
            _ => None,
        };
        let Some(write) = number.and_then(|number| self.operations.get(&number).copied()) else {
            return false;
        };
        let is_new = before.is_none();
        let fits = match write.call {
            Call::Create(named) => named == object && is_new && labelled,
            Call::Patch(named) => named == object && !is_new && labelled,
            Call::Update(named, base) => {
                if before.is_some_and(|(at, _)| at != base) {
                    violations.push(Violation::GuardBroken { update: write.number, revision });
                }
                named == object && !is_new && labelled
            }
            Call::Push(stream) => {
                let makes_image = object == Object::pushed(write.number) && is_new;
                pushed && (makes_image || (stream == object && !is_new))
            }
            _ => false,
        };
        fits && from.uid == content.uid && {
            self.apply(write, object, revision, violations);
            true
        }
    }

    fn explain_deletion(
        &mut self,
        step: &Step,
        uid: u128,
        deletes: &Deletes<'a>,
        timeline: &Timeline,
        violations: &mut Vec<Violation>,
    ) -> bool {
        if step.before.is_none_or(|(_, content)| content.uid != uid) {
            return false;
        }
        let (object, revision) = (step.object, step.revision);
        if let Some(delete) = deletes.acknowledged.get(&uid) {
            self.apply(delete, object, revision, violations);
            return delete.call == Call::Delete(object);
        }
        let delivered = timeline.delivered(object, revision).unwrap_or(Moment::MAX);
        let unknown = deletes.unknown.get(&object);
        unknown.is_some_and(|calls| calls.iter().any(|called| *called <= delivered))
    }

    fn apply(
        &mut self,
        write: &Operation,
        object: Object,
        revision: Revision,
        violations: &mut Vec<Violation>,
    ) {
        let number = write.number;
        self.called.insert((object, revision), write.called);
        let first = *self.applied.entry(number).or_insert(revision);
        let is_of_push = matches!(write.call, Call::Push(_));
        // A push with two revisions is partial at both, see `check_pushes`.
        if first != revision && !is_of_push {
            violations.push(Violation::AppliedTwice(number));
        }
        let writer = *self.writers.entry(revision).or_insert(number);
        if writer != number {
            violations.push(Violation::SharedRevision { writes: [writer, number], revision });
        }
    }

    /// Checks that each push has changed its stream and made its image at one revision.
    fn check_pushes(
        &self,
        history: &History,
        timeline: &Timeline,
        violations: &mut Vec<Violation>,
    ) {
        for operation in &history.operations {
            let (Call::Push(stream), number) = (operation.call, operation.number) else { continue };
            let Some(revision) = self.revision(number) else { continue };
            let is_at =
                |object| timeline.at(object, revision).is_some_and(|(at, _)| at == revision);
            let made = timeline.after(Object::pushed(number), 0).next();
            let is_whole = made.is_some_and(|(at, _)| at == revision) && is_at(stream);
            if !is_whole {
                violations.push(Violation::Partial { push: number, revision });
            }
        }
    }

    fn check_responses(&self, history: &History, violations: &mut Vec<Violation>) {
        let mut uids: HashMap<u128, Number> = HashMap::new();
        for operation in history.operations.iter().filter(|each| each.call.is_write()) {
            let number = operation.number;
            let applied = self.revision(number);
            match (&operation.response, applied) {
                (Response::Object(version), Some(applied)) if version.revision != applied => {
                    let response = version.revision;
                    violations.push(Violation::WrongRevision { write: number, response, applied });
                }
                (Response::Object(_) | Response::Pushed, None) => {
                    violations.push(Violation::Lost(number));
                }
                (Response::Deleted(uid), _) => {
                    if uids.insert(*uid, number).is_some() {
                        violations.push(Violation::AppliedTwice(number));
                    } else if applied.is_none() {
                        violations.push(Violation::Lost(number));
                    }
                }
                (Response::Refused | Response::Absent | Response::Exists, Some(_)) => {
                    violations.push(Violation::RefusedButApplied(number));
                }
                _ => {}
            }
        }
    }
}

/// Deletes of a history.
struct Deletes<'a> {
    /// By the uid of the deleted object.
    acknowledged: HashMap<u128, &'a Operation>,
    /// Times of the calls whose outcome is unknown.
    unknown: HashMap<Object, Vec<Moment>>,
}

impl<'a> Deletes<'a> {
    fn of(history: &'a History) -> Self {
        let mut deletes = Self { acknowledged: HashMap::new(), unknown: HashMap::new() };
        for operation in &history.operations {
            match (operation.call, &operation.response) {
                (Call::Delete(_), Response::Deleted(uid)) => {
                    deletes.acknowledged.entry(*uid).or_insert(operation);
                }
                (Call::Delete(object), Response::Unknown) => {
                    deletes.unknown.entry(object).or_default().push(operation.called);
                }
                _ => {}
            }
        }
        deletes
    }
}
