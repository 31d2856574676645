//! Rules of lists: complete as of their revision, and fresh.

use std::collections::BTreeMap;

use super::record::{Call, Collection, History, Number, Object, Response, Revision, Version};
use super::seen::Seen;
use super::timeline::{State, Timeline};
use super::violation::Violation;

struct List<'a> {
    number: Number,
    revision: Revision,
    items: &'a [(Object, Version)],
}

/// Checks all lists.
pub(crate) fn check(history: &History, timeline: &Timeline, seen: &Seen) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut lists: BTreeMap<Collection, Vec<List<'_>>> = BTreeMap::new();
    for operation in &history.operations {
        let Call::List(collection) = operation.call else { continue };
        let Response::Listed { revision, items } = &operation.response else { continue };
        let (number, revision) = (operation.number, *revision);
        let seen = seen.before(operation.called);
        if revision < seen {
            violations.push(Violation::StaleList { list: number, revision, seen });
        }
        lists.entry(collection).or_default().push(List { number, revision, items });
    }
    for (collection, mut lists) in lists {
        lists.sort_by_key(|list| list.revision);
        let (mut state, mut reached) = (BTreeMap::new(), 0);
        for list in lists {
            advance(&mut state, timeline, collection, reached, list.revision);
            reached = list.revision;
            let wrong = difference(&state, list.items);
            violations
                .extend(wrong.map(|object| Violation::WrongList { list: list.number, object }));
        }
    }
    violations
}

/// Applies the changes in `(from, to]`.
fn advance(
    state: &mut BTreeMap<Object, Version>,
    timeline: &Timeline,
    collection: Collection,
    from: Revision,
    to: Revision,
) {
    for (revision, object) in timeline.changed(collection, from, to) {
        match timeline.at(object, revision) {
            Some((_, State::Present(content))) => {
                state.insert(object, Version { revision, content });
            }
            _ => {
                state.remove(&object);
            }
        }
    }
}

/// The first object that a list shows in another state, leaves out or repeats.
fn difference(state: &BTreeMap<Object, Version>, items: &[(Object, Version)]) -> Option<Object> {
    let mut listed = BTreeMap::new();
    for (object, version) in items {
        if listed.insert(*object, *version).is_some() {
            return Some(*object);
        }
    }
    let mut objects = state.keys().chain(listed.keys());
    objects.find(|object| state.get(object) != listed.get(object)).copied()
}
