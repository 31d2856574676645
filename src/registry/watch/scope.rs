//! The scope of a watch: keys and selectors.

use std::sync::Arc;

use crate::machinery::selector::Selector;
use crate::meta::{Kind, Status};
use crate::store::{Event, Key};

use super::cached_event::{CachedEvent, EncodingId, ObjectReader};
use super::event_type::EventType;
use crate::registry::keys::KeyMatch;
use crate::registry::workload::{LARGE_OBJECT, Workload};

/// The objects that a watch covers.
pub(crate) struct WatchScope {
    /// The prefix of the keys, or the whole key of one object.
    pub(crate) prefix: String,
    /// The comparison of keys with `prefix`.
    pub(crate) key_match: KeyMatch,
    /// The selectors of the watch.
    pub(crate) selector: Selector,
}

impl WatchScope {
    /// Returns true if the scope covers a key.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        match self.key_match {
            KeyMatch::Exact => key.as_str() == self.prefix,
            KeyMatch::Prefix => key.as_str().starts_with(&self.prefix),
        }
    }

    /// The type of an event as this watch reports it; none if its selectors match the object
    /// neither before nor after the event.
    ///
    /// # Errors
    /// 500 for an object that cannot be decoded.
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
        let selects =
            |object: Option<Arc<T>>| object.is_some_and(|object| self.selects(&*object, reader));
        Ok(transition(
            selects(event.previous_object(reader)?),
            selects(event.current_object(reader)?),
        ))
    }

    /// The memory that a watch needs to send an event, in bytes. It is little if the event was
    /// encoded already.
    pub(crate) fn cost_of_sending<T: Kind>(
        &self,
        event: &CachedEvent<T>,
        load: &Workload,
        encoding: EncodingId,
    ) -> u64 {
        match event.encoded_length(encoding) {
            Some(length) if self.selector.is_empty() => length as u64,
            _ => load.cost_of_object(event.stored_bytes()),
        }
    }

    /// Returns true if a watch must decode a large object to send an event.
    pub(crate) fn must_decode<T: Kind>(
        &self,
        event: &CachedEvent<T>,
        encoding: EncodingId,
    ) -> bool {
        event.stored_bytes() > LARGE_OBJECT
            && (!self.selector.is_empty() || event.encoded_length(encoding).is_none())
    }

    /// Returns true if the selectors match an object.
    pub(crate) fn selects<T: Kind>(&self, object: &T, reader: &dyn ObjectReader<T>) -> bool {
        self.selector.is_empty()
            || self.selector.selects(object.metadata(), |name| reader.field(object, name))
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
