//! Which objects a watch is about: those of a place, and of them those that the selectors want.

use crate::machinery::selector::Selector;
use crate::meta::{Kind, Status};
use crate::store::{Event, Key};

use super::change::{Change, Read};

/// What a watch is about.
pub(crate) struct Scope {
    /// How the keys begin; the whole key where it is about one object.
    pub(crate) prefix: String,
    /// Whether `prefix` is a whole key.
    pub(crate) extent: Extent,
    /// Which of the objects there.
    pub(crate) selector: Selector,
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One object.
    One,
    /// Any number of objects.
    Many,
}

/// What became of an object, as a watcher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventType {
    /// It came to be, or to be selected.
    Added,
    /// It changed.
    Modified,
    /// It went away, or is no longer selected.
    Deleted,
}

impl Scope {
    /// Whether a key is in the place.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        match self.extent {
            Extent::One => key.as_str() == self.prefix,
            Extent::Many => key.as_str().starts_with(&self.prefix),
        }
    }

    /// What a change in the place is to a watcher; none where neither what was nor what is is selected.
    ///
    /// # Errors
    /// 500 for an object that cannot be read.
    pub(crate) fn judge<T: Kind>(&self, change: &Change<T>, read: &dyn Read<T>) -> Result<Option<EventType>, Status> {
        let (before, after) = match &change.event {
            Event::Put { previous, .. } => (previous.is_some(), true),
            Event::Delete { .. } => (true, false),
        };
        if self.selector.is_empty() {
            return Ok(transition(before, after));
        }
        let selects = |object: Option<&T>| object.is_some_and(|object| self.selects(object, read));
        Ok(transition(selects(change.before(read)?), selects(change.after(read)?)))
    }

    /// Whether an object is selected.
    pub(crate) fn selects<T: Kind>(&self, object: &T, read: &dyn Read<T>) -> bool {
        self.selector.is_empty() || self.selector.selects(object.metadata(), |name| read.field(object, name))
    }
}

fn transition(before: bool, after: bool) -> Option<EventType> {
    match (before, after) {
        (false, true) => Some(EventType::Added),
        (true, true) => Some(EventType::Modified),
        (true, false) => Some(EventType::Deleted),
        (false, false) => None,
    }
}
