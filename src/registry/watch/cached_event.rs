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
    /// Decodes the object of an entry and sets its resourceVersion.
    ///
    /// # Errors
    /// 500 for an entry that cannot be decoded.
    fn decode(&self, entry: &Entry) -> Result<T, Status>;

    /// The value of a selectable field.
    fn field(&self, object: &T, name: &str) -> String;

    /// Sets fields that responses contain and the store does not.
    fn decorate(&self, object: &mut T);
}

/// An event of the store with its decoded and encoded forms.
pub(crate) struct CachedEvent<T> {
    /// The event of the store.
    pub(crate) event: Event,
    previous: Lazy<T>,
    current: Lazy<T>,
    encoded: Mutex<VecDeque<EncodedEvent>>,
}

/// The maximum number of cached encodings of an event.
const MAX_ENCODED: usize = 4;

/// The identity of an encoding. Encodings with equal numbers yield equal bytes for equal events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodingId(pub(crate) u32);

struct EncodedEvent {
    key: (EncodingId, EventType),
    bytes: Arc<OnceLock<Result<Bytes, Box<Status>>>>,
}

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
        let shown = match &self.event {
            Event::Put { entry, .. } => entry.value.len(),
            Event::Delete { previous, .. } => previous.value.len(),
        };
        // Only selectors decode the previous object.
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

    /// The event in this type and encoding; `encode` runs at most once for each while the result is
    /// cached. A deleted object appears in its last state, at the revision of its deletion.
    ///
    /// # Errors
    /// 500 for an object that cannot be decoded, and the errors of `encode`.
    pub(crate) fn encoded(
        &self,
        r#type: EventType,
        encoding: EncodingId,
        reader: &dyn ObjectReader<T>,
        encode: impl FnOnce(&T) -> Result<Bytes, Status>,
    ) -> Result<Bytes, Status> {
        let bytes = self.slot((encoding, r#type));
        let encoded = bytes.get_or_init(|| {
            let object = self.watched_object(r#type, reader).map_err(Box::new)?;
            encode(&object).map_err(Box::new)
        });
        encoded.clone().map_err(|status| *status)
    }

    /// The size of the event in an encoding, in bytes; none if it is not encoded yet.
    pub(crate) fn encoded_length(&self, encoding: EncodingId) -> Option<usize> {
        let encoded = self.encoded.lock();
        let cached = encoded.iter().filter(|cached| cached.key.0 == encoding);
        cached.filter_map(|cached| cached.bytes.get()?.as_ref().ok().map(Bytes::len)).max()
    }

    fn slot(&self, key: (EncodingId, EventType)) -> Arc<OnceLock<Result<Bytes, Box<Status>>>> {
        let mut encoded = self.encoded.lock();
        if let Some(cached) = encoded.iter().find(|cached| cached.key == key) {
            return cached.bytes.clone();
        }
        if encoded.len() == MAX_ENCODED {
            encoded.pop_front();
        }
        let bytes = Arc::default();
        encoded.push_back(EncodedEvent { key, bytes: Arc::clone(&bytes) });
        bytes
    }

    fn watched_object(&self, r#type: EventType, reader: &dyn ObjectReader<T>) -> Result<T, Status> {
        let object = if r#type == EventType::Deleted {
            self.previous_object(reader)?
        } else {
            self.current_object(reader)?
        };
        let missing = || Status::hidden(format!("the change of {} has no object", self.key()));
        let mut object = Arc::unwrap_or_clone(object.ok_or_else(missing)?);
        object.metadata_mut().resource_version = self.revision().to_string();
        reader.decorate(&mut object);
        Ok(object)
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
