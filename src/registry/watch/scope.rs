//! Which objects a watch is about: those of a place, and of them those that the selectors want.

use crate::machinery::selector::Selector;
use crate::meta::{Kind, Status};
use crate::store::{Event, Key};

use super::cached_event::{CachedEvent, ObjectReader};
use super::event_type::EventType;
use crate::registry::keys::KeyMatch;

/// What a watch is about.
pub(crate) struct WatchScope {
    /// How the keys begin; the whole key where it is about one object.
    pub(crate) prefix: String,
    /// Whether `prefix` is a whole key.
    pub(crate) key_match: KeyMatch,
    /// Which of the objects there.
    pub(crate) selector: Selector,
}

impl WatchScope {
    /// Whether a key is in the place.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        match self.key_match {
            KeyMatch::Exact => key.as_str() == self.prefix,
            KeyMatch::Prefix => key.as_str().starts_with(&self.prefix),
        }
    }

    /// What a change in the place is to a watcher; none where neither what was nor what is is selected.
    ///
    /// # Errors
    /// 500 for an object that cannot be read.
    pub(crate) fn event_type<T: Kind>(
        &self,
        event: &CachedEvent<T>,
        reader: &dyn ObjectReader<T>,
    ) -> Result<Option<EventType>, Status> {
        let (before, after) = match &event.event {
            Event::Put { previous, .. } => (previous.is_some(), true),
            Event::Delete { .. } => (true, false),
        };
        if self.selector.is_empty() {
            return Ok(transition(before, after));
        }
        let selects = |object: Option<&T>| object.is_some_and(|object| self.selects(object, reader));
        Ok(transition(selects(event.previous_object(reader)?), selects(event.current_object(reader)?)))
    }

    /// Whether an object is selected.
    pub(crate) fn selects<T: Kind>(&self, object: &T, reader: &dyn ObjectReader<T>) -> bool {
        self.selector.is_empty() || self.selector.selects(object.metadata(), |name| reader.field(object, name))
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
