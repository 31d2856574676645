//! Rules of a history, in O(n log n) and without a search: every response names the revision of the
//! store that it shows.

use std::collections::HashSet;

use super::attribution::Attribution;
use super::record::{
    Call, Change, Event, History, Number, Object, Operation, Response, Revision, Watch,
};
use super::seen::Seen;
use super::timeline::{State, Timeline};
use super::violation::Violation;
use super::{coverage, lists};

/// Checks a history. Returns no violation if
///
/// * acknowledged writes are applied once, each at its own revision, refused ones never, and every
///   change is one of these writes applied to the state before it;
/// * a write has a higher revision than everything that any client had seen when it was called;
/// * a read shows a state that was current at some time between its call and its response;
/// * a list shows exactly the state at its revision, which is as fresh as that of a read;
/// * a watch delivers every change once and in the order of revisions.
///
/// A write with an unknown outcome counts as applied exactly if a watch or a read shows it.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let timeline = Timeline::of(history, &mut violations);
    let attribution = Attribution::of(history, &timeline, &mut violations);
    let seen = Seen::of(history, &timeline, &attribution);
    let mut rules = Rules { timeline, attribution, seen, violations };
    rules.writes(history);
    rules.reads(history);
    rules.violations.extend(lists::check(history, &rules.timeline, &rules.seen));
    rules.violations.extend(coverage::check(history, &rules.timeline));
    for (number, watch) in history.watches.iter().enumerate() {
        rules.watch(number, watch);
    }
    rules.violations
}

struct Rules<'a> {
    timeline: Timeline,
    attribution: Attribution<'a>,
    seen: Seen,
    violations: Vec<Violation>,
}

/// Interval in which a read has to be explained: the commits that it must see, and the calls that
/// it may see.
struct Window {
    seen: Revision,
    returned: u64,
}

impl Rules<'_> {
    fn writes(&mut self, history: &History) {
        let delivered = coverage::delivered(history);
        for (write, revision) in self.attribution.applied() {
            let number = write.number;
            let seen = self.seen.before(write.called);
            if revision <= seen {
                self.violations.push(Violation::OutOfOrder { write: number, revision, seen });
            }
            let is_promised = !matches!(write.response, Response::Unknown);
            if is_promised && !delivered.contains(&revision) {
                self.violations.push(Violation::Lost(number));
            }
        }
    }

    /// Checks reads, and writes whose refusal says whether the object exists.
    fn reads(&mut self, history: &History) {
        for read in &history.operations {
            let window = Window { seen: self.seen.before(read.called), returned: read.returned };
            let number = read.number;
            let is_current = match (read.call, &read.response) {
                (Call::Get(object), Response::Object(version)) => {
                    self.premature(read, object, version.revision);
                    let newer = self.timeline.after(object, version.revision).next();
                    newer.is_none_or(|(at, _)| at > window.seen)
                }
                (Call::GetPushed { stream, push }, response) => {
                    self.pushed(stream, push, response, &window)
                }
                (call, Response::Absent) => call.object().is_none_or(|object| {
                    self.was(object, &window, |state| state.and_then(State::content).is_none())
                }),
                (Call::Create(object), Response::Exists) => {
                    self.was(object, &window, |state| state.and_then(State::content).is_some())
                }
                _ => true,
            };
            if !is_current {
                self.violations.push(Violation::Stale { read: number, seen: window.seen });
            }
        }
    }

    fn premature(&mut self, read: &Operation, object: Object, revision: Revision) {
        if self.attribution.called(object, revision) > read.returned {
            self.violations.push(Violation::Premature { read: read.number, revision });
        }
    }

    /// Returns true if an object was in such a state at some time of the window.
    fn was(&self, object: Object, window: &Window, is: impl Fn(Option<State>) -> bool) -> bool {
        let first = self.timeline.at(object, window.seen).map(|(_, state)| state);
        is(first)
            || self
                .timeline
                .after(object, window.seen)
                .any(|(revision, state)| is(Some(state)) && self.may_see(object, revision, window))
    }

    /// Returns true if the change was called before the end of the window.
    fn may_see(&self, object: Object, revision: Revision, window: &Window) -> bool {
        self.attribution.called(object, revision) <= window.returned
    }

    /// Returns true if the read of a pushed image through its stream is current. The image is there
    /// from the push to the deletion of stream or image.
    fn pushed(&self, stream: Object, push: Number, response: &Response, window: &Window) -> bool {
        let made = self.attribution.revision(push);
        let end = made.and_then(|made| {
            let ends = [stream, Object::pushed(push)].into_iter().filter_map(|object| {
                let mut states = self.timeline.after(object, made);
                let (at, _) = states.find(|(_, state)| state.content().is_none())?;
                Some((at, object))
            });
            ends.min()
        });
        match response {
            Response::Found => made.is_some() && end.is_none_or(|(at, _)| at > window.seen),
            Response::Absent => {
                made.is_none_or(|made| made > window.seen)
                    || end.is_some_and(|(at, object)| self.may_see(object, at, window))
            }
            _ => true,
        }
    }

    /// Checks order, completeness and types of the events of a watch.
    fn watch(&mut self, number: usize, watch: &Watch) {
        let mut reached = watch.after;
        let mut bookmarks = watch.bookmarks.iter().peekable();
        for (at, event) in watch.events.iter().enumerate() {
            while let Some((bookmark, _)) = bookmarks.next_if(|(_, events)| *events <= at) {
                reached = reached.max(*bookmark);
            }
            let revision = event.version.revision;
            if revision <= reached {
                self.violations.push(Violation::WatchOrder { watch: number, revision });
            }
            if event.object.collection() != watch.collection || !self.has_right_type(event) {
                self.violations.push(Violation::WatchType { watch: number, revision });
            }
            reached = reached.max(revision);
        }
        let delivered: HashSet<Revision> =
            watch.events.iter().map(|event| event.version.revision).collect();
        for (revision, _) in self.timeline.changed(watch.collection, watch.after, watch.end()) {
            if !delivered.contains(&revision) {
                self.violations.push(Violation::WatchGap { watch: number, revision });
            }
        }
    }

    fn has_right_type(&self, event: &Event) -> bool {
        let Some(before) = event.version.revision.checked_sub(1) else { return false };
        let was = self.timeline.at(event.object, before).and_then(|(_, state)| state.content());
        match event.change {
            Change::Added => was.is_none(),
            Change::Modified | Change::Deleted => was.is_some(),
        }
    }
}
