//! An event of one object, decoded and encoded at most once for all watchers.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use super::event_type::EventType;
use crate::meta::{Kind, Status};
use crate::registry::workload::LARGE_OBJECT;
use crate::store::{Entry, Event, Key, Revision};

/// Decodes the objects of a resource for watches.
pub(crate) trait ObjectReader<T>: Send + Sync + 'static {
    /// Decodes the object of an entry as responses contain it.
    ///
    /// # Errors
    /// 500 for an entry that cannot be decoded.
    fn decode(&self, entry: &Entry) -> Result<T, Status>;

    /// The value of a selectable field.
    fn field(&self, object: &T, name: &str) -> String;
}

/// An event of the store with its decoded and encoded forms.
pub(crate) struct CachedEvent<T> {
    /// The event of the store.
    pub(crate) event: Event,
    previous: Lazy<T>,
    current: Lazy<T>,
    encoded: Mutex<VecDeque<EncodingSlot>>,
}

/// The maximum number of cached encodings of an event.
const MAX_ENCODED: usize = 4;

/// The identity of an encoding. Equal ones yield equal bytes for equal events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodingId {
    /// The kind of the shown objects.
    pub(crate) kind: &'static str,
    /// A number for the format of the events.
    pub(crate) format: u32,
}

/// An encoded event of a stored object: an event for each shown object.
#[derive(Clone)]
pub(crate) enum EncodedEvent {
    /// The encoded events, for all watches.
    Shared(Arc<[EncodedChange]>),
    /// More bytes than are worth keeping. Each watch encodes them itself, piece by piece.
    TooLarge,
}

/// The encoded event of one shown object.
#[derive(Clone)]
pub(crate) struct EncodedChange {
    /// The name of a view; empty for a stored object itself.
    pub(crate) name: Box<str>,
    /// The frame.
    pub(crate) frame: Bytes,
}

/// The states of an object before and after an event, as a watch with selectors sees them.
pub(crate) struct StoredStates<'a, T> {
    /// The type of the event for the stored object.
    pub(crate) r#type: EventType,
    event: &'a CachedEvent<T>,
    reader: &'a dyn ObjectReader<T>,
}

struct EncodingSlot {
    key: (EncodingId, EventType),
    encoded: Arc<EncodingLock>,
}

type EncodingLock = OnceLock<Result<EncodedEvent, Box<Status>>>;

type Lazy<T> = OnceLock<Result<Arc<T>, Box<Status>>>;

impl<T: Kind> CachedEvent<T> {
    pub(crate) fn new(event: Event) -> Arc<Self> {
        Arc::new(Self {
            event,
            previous: Lazy::new(),
            current: Lazy::new(),
            encoded: Mutex::default(),
        })
    }

    pub(crate) fn key(&self) -> &Key {
        self.event.key()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.event.revision()
    }

    /// The size of the stored objects before and after the event, in bytes.
    pub(crate) fn stored_bytes(&self) -> usize {
        match &self.event {
            Event::Put { entry, previous } => {
                entry.value.len() + previous.as_ref().map_or(0, |previous| previous.value.len())
            }
            Event::Delete { previous, .. } => previous.value.len(),
        }
    }

    /// An estimate of the memory of the event with its decoded and encoded forms, in bytes.
    pub(crate) fn cost(&self) -> usize {
        /// Memory of the structures around the values.
        const FIXED: usize = 512;
        /// Copies of a value: stored, decoded, and encoded in one or two representations.
        const COPIES: usize = 4;
        let shown = self.shown_bytes();
        // Only selectors and views decode the previous object.
        FIXED + COPIES * shown + self.stored_bytes().saturating_sub(shown)
    }

    /// The object before the event; none if it did not exist.
    ///
    /// # Errors
    /// 500 if it cannot be decoded.
    pub(crate) fn previous_object(
        &self,
        reader: &dyn ObjectReader<T>,
    ) -> Result<Option<Arc<T>>, Status> {
        match &self.event {
            Event::Put { previous, .. } => {
                previous.as_ref().map(|entry| decoded(&self.previous, entry, reader)).transpose()
            }
            Event::Delete { previous, .. } => decoded(&self.previous, previous, reader).map(Some),
        }
    }

    /// The object after the event; none if it was deleted.
    ///
    /// # Errors
    /// 500 if it cannot be decoded.
    pub(crate) fn current_object(
        &self,
        reader: &dyn ObjectReader<T>,
    ) -> Result<Option<Arc<T>>, Status> {
        match &self.event {
            Event::Put { entry, .. } => decoded(&self.current, entry, reader).map(Some),
            Event::Delete { .. } => Ok(None),
        }
    }

    /// The states of the object before and after the event, which has this type for a watch.
    pub(crate) fn states<'a>(
        &'a self,
        r#type: EventType,
        reader: &'a dyn ObjectReader<T>,
    ) -> StoredStates<'a, T> {
        StoredStates { r#type, event: self, reader }
    }

    /// The event in this type and encoding; `encode` runs at most once for each while the result is
    /// cached.
    ///
    /// # Errors
    /// The errors of `encode`.
    pub(crate) fn encoded(
        &self,
        r#type: EventType,
        encoding: EncodingId,
        encode: impl FnOnce() -> Result<EncodedEvent, Status>,
    ) -> Result<EncodedEvent, Status> {
        let slot = self.slot((encoding, r#type));
        let encoded = slot.get_or_init(|| encode().map_err(Box::new));
        encoded.clone().map_err(|status| *status)
    }

    /// The maximum size of the encoded views of an object that are shared, in bytes. The estimate of
    /// [`CachedEvent::cost`] covers them.
    pub(crate) fn max_shared_bytes(&self) -> usize {
        /// Room for the views of a small object, in bytes.
        const LEAST: usize = 4 << 10;
        LEAST + 2 * self.shown_bytes()
    }

    /// The size of the event in an encoding, in bytes; none if it is not encoded yet.
    pub(crate) fn encoded_length(&self, encoding: EncodingId) -> Option<usize> {
        let slots = self.encoded.lock();
        let cached = slots.iter().filter(|cached| cached.key.0 == encoding);
        let length = |slot: &EncodingSlot| match slot.encoded.get()?.as_ref().ok()? {
            EncodedEvent::Shared(changes) => {
                Some(changes.iter().map(|change| change.frame.len()).sum())
            }
            EncodedEvent::TooLarge => None,
        };
        cached.filter_map(length).max()
    }

    fn slot(&self, key: (EncodingId, EventType)) -> Arc<EncodingLock> {
        let mut slots = self.encoded.lock();
        if let Some(cached) = slots.iter().find(|cached| cached.key == key) {
            return cached.encoded.clone();
        }
        if slots.len() == MAX_ENCODED {
            slots.pop_front();
        }
        let encoded = Arc::default();
        slots.push_back(EncodingSlot { key, encoded: Arc::clone(&encoded) });
        encoded
    }

    /// The size of the stored object that the event shows, in bytes.
    fn shown_bytes(&self) -> usize {
        match &self.event {
            Event::Put { entry, .. } => entry.value.len(),
            Event::Delete { previous, .. } => previous.value.len(),
        }
    }
}

impl<T: Kind> StoredStates<'_, T> {
    /// The revision of the event.
    pub(crate) fn revision(&self) -> Revision {
        self.event.revision()
    }

    /// The object before the event; none if it did not exist or was not selected.
    ///
    /// # Errors
    /// 500 if it cannot be decoded.
    pub(crate) fn before(&self) -> Result<Option<Arc<T>>, Status> {
        match self.r#type {
            EventType::Added => Ok(None),
            EventType::Modified | EventType::Deleted => self.event.previous_object(self.reader),
        }
    }

    /// The object after the event; none if it was deleted or is not selected.
    ///
    /// # Errors
    /// 500 if it cannot be decoded.
    pub(crate) fn after(&self) -> Result<Option<Arc<T>>, Status> {
        match self.r#type {
            EventType::Deleted => Ok(None),
            EventType::Added | EventType::Modified => self.event.current_object(self.reader),
        }
    }
}

/// The object of an entry. A large one is decoded each time, because it takes many times the memory
/// of its encodings.
fn decoded<T: Kind>(
    lazy: &Lazy<T>,
    entry: &Entry,
    reader: &dyn ObjectReader<T>,
) -> Result<Arc<T>, Status> {
    if entry.value.len() > LARGE_OBJECT {
        return reader.decode(entry).map(Arc::new);
    }
    let decoded = lazy.get_or_init(|| reader.decode(entry).map(Arc::new).map_err(Box::new));
    decoded.clone().map_err(|status| *status)
}
