//! Tests of the checker: it finds each kind of violation of reads, lists and watches.

use crate::history::check;
use crate::history::record::{
    Call, Change, Collection, Content, History, Object, Response, Version, Watch,
};
use crate::history::violation::Violation;
use crate::injected::{OPERATIONS, SEEDS, delivered, edit, finds};
use crate::simulation::simulate;

#[test]
fn a_read_of_a_replaced_state_is_stale() {
    let fault = |history: &mut History| {
        edit(history, |history, read| {
            let (Call::Get(object), Response::Object(_)) = (read.call, &read.response) else {
                return None;
            };
            let states = delivered(history, object, read.called);
            let [.., (_, old), (Change::Modified, _)] = states[..] else { return None };
            Some(Response::Object(old))
        })
    };
    finds(fault, |found| matches!(found, Violation::Stale { .. }));
}

#[test]
fn a_read_that_misses_an_object_is_stale() {
    let fault = |history: &mut History| {
        edit(history, |_, read| {
            matches!((read.call, &read.response), (Call::Get(_), Response::Object(_)))
                .then_some(Response::Absent)
        })
    };
    // An object that is created or deleted beside the read may be absent.
    let mut found = 0;
    for seed in 0..SEEDS {
        let mut history = simulate(seed, OPERATIONS);
        found += usize::from(fault(&mut history) && !check(&history).is_empty());
    }
    assert!(found * 2 > SEEDS as usize, "{found}");
}

#[test]
fn a_read_of_a_deleted_object_is_stale() {
    let fault = |history: &mut History| {
        edit(history, |history, read| {
            let (Call::Get(object), Response::Absent) = (read.call, &read.response) else {
                return None;
            };
            let states = delivered(history, object, read.called);
            let [.., (_, old), (Change::Deleted, _)] = states[..] else { return None };
            Some(Response::Object(old))
        })
    };
    finds(fault, |found| matches!(found, Violation::Stale { .. }));
}

#[test]
fn a_read_that_misses_a_pushed_image_is_stale() {
    let fault = |history: &mut History| {
        edit(history, |history, read| {
            let Call::GetPushed { stream, push } = read.call else { return None };
            let mut operations = history.operations.iter();
            let made =
                operations.find(|each| each.number == push && each.response == Response::Pushed)?;
            // No delete can have ended what the push has made.
            let ends = [stream, Object::pushed(push)].map(Call::Delete);
            let is_quiet = history.operations.iter().all(|other| {
                let is_before = other.returned < made.called && other.response != Response::Unknown;
                !ends.contains(&other.call) || is_before || other.called > read.returned
            });
            let is_sure = read.response == Response::Found && is_quiet;
            (is_sure && made.returned < read.called).then_some(Response::Absent)
        })
    };
    finds(fault, |found| matches!(found, Violation::Stale { .. }));
}

#[test]
fn a_read_before_the_call_of_its_write_is_premature() {
    let fault = |history: &mut History| {
        let read = history.operations.iter().enumerate().find_map(|(at, read)| {
            let (Call::Get(object), Response::Object(_)) = (read.call, &read.response) else {
                return None;
            };
            let later = history.operations.iter().find_map(|write| match write.response {
                Response::Object(version)
                    if write.call == Call::Patch(object) && write.called > read.returned =>
                {
                    Some(version)
                }
                _ => None,
            })?;
            Some((at, later))
        });
        let Some((at, later)) = read else { return false };
        history.operations[at].response = Response::Object(later);
        true
    };
    finds(fault, |found| matches!(found, Violation::Premature { .. }));
}

#[test]
fn a_list_without_an_object_is_wrong() {
    let fault = |history: &mut History| {
        edit(history, |_, list| {
            let Response::Listed { revision, items } = &list.response else { return None };
            let (_, rest) = items.split_first()?;
            Some(Response::Listed { revision: *revision, items: rest.to_vec() })
        })
    };
    finds(fault, |found| matches!(found, Violation::WrongList { .. }));
}

#[test]
fn a_list_with_an_older_state_is_wrong() {
    let fault = |history: &mut History| {
        edit(history, |history, list| {
            let Response::Listed { revision, items } = &list.response else { return None };
            let mut items = items.clone();
            let old = items.iter_mut().find_map(|(object, version)| {
                let states = delivered(history, *object, u64::MAX);
                let at = states.iter().position(|(_, it)| it == version)?;
                let (_, old) = *states.get(at.checked_sub(1)?)?;
                *version = old;
                Some(*object)
            });
            old.map(|_| Response::Listed { revision: *revision, items })
        })
    };
    finds(fault, |found| matches!(found, Violation::WrongList { .. }));
}

#[test]
fn a_list_at_an_older_revision_is_stale() {
    let fault = |history: &mut History| {
        let lists = history.operations.iter().filter_map(|each| match &each.response {
            Response::Listed { .. } => Some((each.call, each.returned, each.response.clone())),
            _ => None,
        });
        let lists: Vec<_> = lists.collect();
        edit(history, |_, list| {
            let old = lists
                .first()
                .filter(|(call, returned, _)| *call == list.call && returned + 500 < list.called);
            old.map(|(_, _, response)| response.clone())
        })
    };
    finds(fault, |found| matches!(found, Violation::StaleList { .. }));
}

#[test]
fn two_states_at_one_revision_contradict() {
    let fault = |history: &mut History| {
        edit(history, |_, read| {
            let (Call::Get(_), Response::Object(version)) = (read.call, &read.response) else {
                return None;
            };
            let content = Content { label: Some(1 << 40), ..version.content };
            Some(Response::Object(Version { content, ..*version }))
        })
    };
    finds(fault, |found| matches!(found, Violation::Contradiction { .. }));
}

#[test]
fn a_watch_without_an_event_has_a_gap() {
    let fault = |history: &mut History| {
        let watch = history.watches.iter_mut().find(|watch| watch.events.len() > 2);
        watch.map(|watch| watch.events.remove(1)).is_some()
    };
    finds(fault, |found| matches!(found, Violation::WatchGap { .. }));
}

#[test]
fn a_watch_with_a_repeated_event_is_found() {
    let fault = |history: &mut History| {
        let watch = history.watches.iter_mut().find(|watch| watch.events.len() > 1);
        watch.map(|watch| watch.events.insert(1, watch.events[0])).is_some()
    };
    finds(fault, |found| matches!(found, Violation::WatchOrder { .. }));
}

#[test]
fn a_watch_with_swapped_events_is_found() {
    let fault = |history: &mut History| {
        let watch = history.watches.iter_mut().find(|watch| watch.events.len() > 2);
        watch.map(|watch| watch.events.swap(0, 1)).is_some()
    };
    finds(fault, |found| matches!(found, Violation::WatchOrder { .. }));
}

#[test]
fn an_event_of_the_wrong_type_is_found() {
    let fault = |history: &mut History| {
        let mut events = history.watches.iter_mut().flat_map(|watch| &mut watch.events);
        let added = events.find(|event| event.change == Change::Added);
        added.map(|event| event.change = Change::Modified).is_some()
    };
    finds(fault, |found| matches!(found, Violation::WatchType { .. }));
}

#[test]
fn revisions_that_no_watch_covers_are_found() {
    let fault = |history: &mut History| {
        let streams = |watch: &Watch| watch.collection == Collection::Streams;
        history.watches.retain(|watch| !streams(watch) || watch.after != history.start);
        true
    };
    finds(fault, |found| matches!(found, Violation::Uncovered { .. }));
}
