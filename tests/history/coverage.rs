//! Coverage of a history by watches: without it, a lost write cannot be told from an unseen one.

use std::collections::HashSet;

use super::record::{Collection, History, Revision};
use super::timeline::Timeline;
use super::violation::Violation;

/// The revisions of all events.
pub(crate) fn delivered(history: &History) -> HashSet<Revision> {
    let events = history.watches.iter().flat_map(|watch| &watch.events);
    events.map(|event| event.version.revision).collect()
}

/// Checks that the watches of each collection cover all revisions up to its last change.
pub(crate) fn check(history: &History, timeline: &Timeline) -> Vec<Violation> {
    let uncovered = Collection::ALL.into_iter().filter_map(|collection| {
        let mut ranges: Vec<(Revision, Revision)> = history
            .watches
            .iter()
            .filter(|watch| watch.collection == collection)
            .map(|watch| (watch.after, watch.end()))
            .collect();
        ranges.sort_unstable();
        let mut reached = history.start;
        for (after, end) in ranges {
            if after <= reached {
                reached = reached.max(end);
            }
        }
        let left = timeline.changed(collection, reached, Revision::MAX).next();
        left.map(|_| Violation::Uncovered { collection, after: reached })
    });
    uncovered.collect()
}
