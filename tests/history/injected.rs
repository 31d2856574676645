//! Tests of the checker: it accepts histories of a correct store, and finds each kind of violation
//! of writes that is injected into one.

use crate::history::check;
use crate::history::record::{
    Call, Change, Content, History, Object, Operation, Response, Revision, Version,
};
use crate::history::violation::Violation;
use crate::simulation::simulate;

pub(crate) const SEEDS: u64 = 40;
pub(crate) const OPERATIONS: u64 = 400;

/// Injects a fault into a history. Returns false if the history has no place for it.
pub(crate) type Fault = fn(&mut History) -> bool;

/// Injects the fault into many histories. Each injection must lead to an expected violation, and
/// half of the histories must have a place for it.
#[track_caller]
pub(crate) fn finds(fault: Fault, expected: fn(&Violation) -> bool) {
    let mut injected = 0;
    for seed in 0..SEEDS {
        let mut history = simulate(seed, OPERATIONS);
        if fault(&mut history) {
            injected += 1;
            let found = check(&history);
            assert!(found.iter().any(expected), "seed {seed}: {found:?}");
        }
    }
    assert!(injected * 2 > SEEDS, "{injected} of {SEEDS} histories have a place for the fault");
}

/// The operation with a response that `select` accepts, together with the history before it.
pub(crate) fn edit(
    history: &mut History,
    select: impl Fn(&History, &Operation) -> Option<Response>,
) -> bool {
    let found = history
        .operations
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, operation)| select(history, operation).map(|response| (at, response)));
    found.map(|(at, response)| history.operations[at].response = response).is_some()
}

/// The states of an object that a watch has delivered until a time, oldest first.
pub(crate) fn delivered(history: &History, object: Object, until: u64) -> Vec<(Change, Version)> {
    let mut events: Vec<_> = history
        .watches
        .iter()
        .flat_map(|watch| &watch.events)
        .filter(|event| event.object == object && event.at < until)
        .map(|event| (event.version.revision, event.change, event.version))
        .collect();
    events.sort_by_key(|(revision, ..)| *revision);
    events.dedup_by_key(|(revision, ..)| *revision);
    events.into_iter().map(|(_, change, version)| (change, version)).collect()
}

fn remove_events(history: &mut History, revision: Revision) {
    for watch in &mut history.watches {
        watch.events.retain(|event| event.version.revision != revision);
        watch.bookmarks.clear();
    }
}

fn acknowledged(history: &History, is: impl Fn(&Operation) -> bool) -> Option<usize> {
    let is_acknowledged = |operation: &Operation| {
        operation.call.is_write() && matches!(operation.response, Response::Object(_))
    };
    history.operations.iter().position(|each| is_acknowledged(each) && is(each))
}

#[test]
fn histories_of_a_correct_store_have_no_violation() {
    for seed in 0..200 {
        let history = simulate(seed, OPERATIONS);
        assert_eq!(check(&history), [], "seed {seed}");
    }
}

#[test]
fn a_large_history_is_checked_in_seconds() {
    let history = simulate(1, 200_000);
    let begun = std::time::Instant::now();
    assert_eq!(check(&history), []);
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

#[test]
fn a_create_refused_without_an_object_is_stale() {
    let fault = |history: &mut History| {
        edit(history, |history, create| {
            let Call::Create(object) = create.call else { return None };
            let is_new = matches!(create.response, Response::Object(_));
            let states = delivered(history, object, u64::MAX);
            let before = |at: Revision| states.iter().rfind(|(_, it)| it.revision <= at).copied();
            let Response::Object(made) = create.response else { return None };
            (is_new && before(made.revision - 1).is_none()).then_some(Response::Exists)
        })
    };
    finds(fault, |found| matches!(found, Violation::RefusedButApplied(_)));
}

#[test]
fn an_acknowledged_write_without_an_event_is_lost() {
    let fault = |history: &mut History| {
        let Some(at) = acknowledged(history, |_| true) else { return false };
        let Response::Object(version) = history.operations[at].response else { return false };
        remove_events(history, version.revision);
        true
    };
    finds(fault, |found| matches!(found, Violation::Lost(_)));
}

#[test]
fn an_acknowledged_push_without_an_effect_is_lost() {
    let fault = |history: &mut History| {
        edit(history, |_, push| {
            let is_push = matches!(push.call, Call::Push(_));
            (is_push && push.response == Response::Absent).then_some(Response::Pushed)
        })
    };
    finds(fault, |found| matches!(found, Violation::Lost(_)));
}

#[test]
fn an_acknowledged_delete_without_an_effect_is_lost() {
    let fault = |history: &mut History| {
        edit(history, |_, delete| {
            let is_delete = matches!(delete.call, Call::Delete(_));
            (is_delete && delete.response == Response::Absent).then_some(Response::Deleted(1 << 99))
        })
    };
    finds(fault, |found| matches!(found, Violation::Lost(_)));
}

#[test]
fn two_acknowledged_deletes_of_one_object_are_found() {
    let fault = |history: &mut History| {
        let deleted = history.operations.iter().find_map(|each| match each.response {
            Response::Deleted(uid) => Some((each.call, uid)),
            _ => None,
        });
        let Some((call, uid)) = deleted else { return false };
        edit(history, |_, other| {
            (other.call == call && other.response == Response::Absent)
                .then_some(Response::Deleted(uid))
        })
    };
    finds(fault, |found| matches!(found, Violation::AppliedTwice(_)));
}

#[test]
fn a_write_that_is_applied_twice_is_found() {
    let fault = |history: &mut History| {
        // The state before the last patch comes back after it.
        let events: Vec<_> = history.watches.iter().flat_map(|watch| &watch.events).collect();
        let labels = |content: Content| content.label;
        let twice = events.iter().find_map(|event| {
            let later = events.iter().find(|later| {
                later.object == event.object
                    && later.change == Change::Modified
                    && later.version.revision > event.version.revision
                    && labels(later.version.content) != labels(event.version.content)
                    && later.version.content.uid == event.version.content.uid
            })?;
            Some((event.object, later.version.revision, labels(event.version.content)?))
        });
        let Some((object, from, label)) = twice else { return false };
        // The next push or patch of the object repeats the older label.
        let again = events.iter().find(|event| {
            event.object == object
                && event.version.revision > from
                && event.change == Change::Modified
        });
        let Some(again) = again.map(|event| event.version.revision) else { return false };
        for watch in &mut history.watches {
            for event in watch.events.iter_mut().filter(|event| event.object == object) {
                if event.version.revision == again {
                    event.version.content.label = Some(label);
                }
            }
        }
        true
    };
    finds(fault, |found| {
        matches!(
            found,
            Violation::AppliedTwice(_)
                | Violation::Unexplained { .. }
                | Violation::Contradiction { .. }
        )
    });
}

#[test]
fn a_refused_write_with_an_effect_is_found() {
    let fault = |history: &mut History| {
        edit(history, |_, write| {
            matches!((write.call, &write.response), (Call::Patch(_), Response::Object(_)))
                .then_some(Response::Refused)
        })
    };
    finds(fault, |found| matches!(found, Violation::RefusedButApplied(_)));
}

#[test]
fn a_push_without_its_image_is_partial() {
    let fault = |history: &mut History| {
        let push = history.operations.iter().find(|each| each.response == Response::Pushed);
        let Some(image) = push.map(|push| Object::pushed(push.number)) else { return false };
        history.operations.retain(|each| each.call != Call::Get(image));
        for operation in &mut history.operations {
            if let Response::Listed { items, .. } = &mut operation.response {
                items.retain(|(object, _)| *object != image);
            }
        }
        for watch in &mut history.watches {
            watch.events.retain(|event| event.object != image);
        }
        true
    };
    finds(fault, |found| matches!(found, Violation::Partial { .. }));
}

#[test]
fn a_lost_update_is_unexplained() {
    let fault = |history: &mut History| {
        let number = history.operations.iter().find_map(|each| match (each.call, &each.response) {
            (Call::Patch(Object::Stream(_)), Response::Object(it)) if it.content.push.is_some() => {
                Some(each.number)
            }
            _ => None,
        });
        let Some(number) = number else { return false };
        // The patch, made from an older state, reverts the last push.
        let revert = |content: &mut Content| {
            if content.label == Some(number) {
                content.push = None;
            }
        };
        for operation in &mut history.operations {
            match &mut operation.response {
                Response::Object(version) => revert(&mut version.content),
                Response::Listed { items, .. } => {
                    items.iter_mut().for_each(|(_, version)| revert(&mut version.content));
                }
                _ => {}
            }
        }
        let events = history.watches.iter_mut().flat_map(|watch| &mut watch.events);
        events.for_each(|event| revert(&mut event.version.content));
        true
    };
    finds(fault, |found| matches!(found, Violation::Unexplained { .. }));
}

#[test]
fn an_update_over_another_revision_breaks_its_guard() {
    let fault = |history: &mut History| {
        let at = acknowledged(history, |each| matches!(each.call, Call::Update(..)));
        let Some(update) = at.map(|at| &mut history.operations[at]) else { return false };
        if let Call::Update(_, base) = &mut update.call {
            *base -= 1;
        }
        true
    };
    finds(fault, |found| matches!(found, Violation::GuardBroken { .. }));
}

#[test]
fn two_writes_with_one_revision_are_found() {
    let fault = |history: &mut History| {
        let Some([first, second]) = neighbours(history, |_, _| true) else { return false };
        move_revision(history, first, second);
        true
    };
    finds(fault, |found| matches!(found, Violation::SharedRevision { .. }));
}

/// The revisions of two acknowledged writes, one directly after the other, to different collections.
fn neighbours(history: &History, are: fn(&Operation, &Operation) -> bool) -> Option<[Revision; 2]> {
    let write = |operation: &Operation| match operation.response {
        Response::Object(version) if operation.call.is_write() => Some(version.revision),
        _ => None,
    };
    let mut writes: Vec<(Revision, &Operation)> =
        history.operations.iter().filter_map(|each| Some((write(each)?, each))).collect();
    writes.sort_by_key(|(revision, _)| *revision);
    writes.windows(2).find_map(|pair| {
        let [(first, one), (second, other)] = *pair else { return None };
        let collection = |each: &Operation| each.call.object().map(Object::collection);
        let fits = first + 1 == second && collection(one) != collection(other);
        (fits && are(one, other)).then_some([first, second])
    })
}

/// Moves everything with a revision to another one.
fn move_revision(history: &mut History, from: Revision, to: Revision) {
    let shift = |version: &mut Version| {
        if version.revision == from {
            version.revision = to;
        }
    };
    for operation in &mut history.operations {
        match &mut operation.response {
            Response::Object(version) => shift(version),
            Response::Listed { items, .. } => {
                items.iter_mut().for_each(|(_, version)| shift(version));
            }
            _ => {}
        }
    }
    let events = history.watches.iter_mut().flat_map(|watch| &mut watch.events);
    events.for_each(|event| shift(&mut event.version));
}

#[test]
fn a_write_with_an_older_revision_is_out_of_order() {
    let fault = |history: &mut History| {
        let found = neighbours(history, |one, other| one.returned < other.called);
        let Some([first, second]) = found else { return false };
        move_revision(history, first, 0);
        move_revision(history, second, first);
        move_revision(history, 0, second);
        true
    };
    finds(fault, |found| matches!(found, Violation::OutOfOrder { .. }));
}

#[test]
fn a_response_with_another_revision_is_found() {
    let fault = |history: &mut History| {
        let at = acknowledged(history, |each| matches!(each.call, Call::Patch(_)));
        let Some(patch) = at.map(|at| &mut history.operations[at]) else { return false };
        if let Response::Object(version) = &mut patch.response {
            version.revision += 1_000_000;
        }
        true
    };
    finds(fault, |found| {
        matches!(found, Violation::WrongRevision { .. } | Violation::Unexplained { .. })
    });
}
