//! One change of one object, decoded and written at most once for all who watch.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use super::event_type::EventType;
use crate::meta::{Kind, Status};
use crate::store::{Entry, Event, Key, Revision};

/// What a watch must know of the objects of a resource.
pub(crate) trait ObjectReader<T>: Send + Sync + 'static {
    /// The object in an entry, as it is stored, with its resourceVersion.
    ///
    /// # Errors
    /// 500 for an entry that cannot be read.
    fn decode(&self, entry: &Entry) -> Result<T, Status>;

    /// The stored value of a field that lists can select by.
    fn field(&self, object: &T, name: &str) -> String;

    /// Sets what is computed on the way out.
    fn decorate(&self, object: &mut T);
}

/// A change of one object.
pub(crate) struct CachedEvent<T> {
    /// What happened.
    pub(crate) event: Event,
    previous: Lazy<T>,
    current: Lazy<T>,
    encoded: Mutex<VecDeque<EncodedEvent>>,
}

/// The number of encodings of a change that are cached.
const MAX_ENCODED: usize = 4;

/// An opaque number of an encoding. Equal numbers stand for equal bytes of equal events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodingId(pub(crate) u32);

struct EncodedEvent {
    key: (EncodingId, EventType),
    bytes: Arc<OnceLock<Result<Bytes, Box<Status>>>>,
}

type Lazy<T> = OnceLock<Result<Box<T>, Box<Status>>>;

impl<T: Kind> CachedEvent<T> {
    pub(crate) fn new(event: Event) -> Arc<Self> {
        Arc::new(Self { event, previous: Lazy::new(), current: Lazy::new(), encoded: Mutex::default() })
    }

    pub(crate) fn key(&self) -> &Key {
        self.event.key()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.event.revision()
    }

    /// The bytes that were stored, before and after.
    pub(crate) fn stored_bytes(&self) -> usize {
        match &self.event {
            Event::Put { entry, previous } => {
                entry.value.len() + previous.as_ref().map_or(0, |previous| previous.value.len())
            }
            Event::Delete { previous, .. } => previous.value.len(),
        }
    }

    /// About the memory that it takes once it is decoded and written, in bytes.
    pub(crate) fn cost(&self) -> usize {
        /// The structures around the values.
        const FIXED: usize = 512;
        /// The value itself, decoded, and written in one or two representations.
        const TIMES: usize = 4;
        let shown = match &self.event {
            Event::Put { entry, .. } => entry.value.len(),
            Event::Delete { previous, .. } => previous.value.len(),
        };
        // What was there before is decoded for selectors alone.
        FIXED + TIMES * shown + self.stored_bytes().saturating_sub(shown)
    }

    /// The object before the change; none where there was none.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(crate) fn previous_object(&self, reader: &dyn ObjectReader<T>) -> Result<Option<&T>, Status> {
        match &self.event {
            Event::Put { previous, .. } => {
                previous.as_ref().map(|entry| decoded(&self.previous, entry, reader)).transpose()
            }
            Event::Delete { previous, .. } => decoded(&self.previous, previous, reader).map(Some),
        }
    }

    /// The object after the change; none where there is none.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(crate) fn current_object(&self, reader: &dyn ObjectReader<T>) -> Result<Option<&T>, Status> {
        match &self.event {
            Event::Put { entry, .. } => decoded(&self.current, entry, reader).map(Some),
            Event::Delete { .. } => Ok(None),
        }
    }

    /// The change as an event of this type and encoding; `encode` runs at most once for each while
    /// the change is cached. An object that goes away is shown as it was, at the revision of its
    /// deletion.
    ///
    /// # Errors
    /// 500 for an object that cannot be read, and the errors of `encode`.
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

    fn slot(&self, key: (EncodingId, EventType)) -> Arc<OnceLock<Result<Bytes, Box<Status>>>> {
        let mut encoded = self.encoded.lock();
        if let Some(known) = encoded.iter().find(|known| known.key == key) {
            return known.bytes.clone();
        }
        if encoded.len() == MAX_ENCODED {
            encoded.pop_front();
        }
        let bytes = Arc::default();
        encoded.push_back(EncodedEvent { key, bytes: Arc::clone(&bytes) });
        bytes
    }

    fn watched_object(&self, r#type: EventType, reader: &dyn ObjectReader<T>) -> Result<T, Status> {
        let object =
            if r#type == EventType::Deleted { self.previous_object(reader)? } else { self.current_object(reader)? };
        let missing = || Status::hidden(format!("the change of {} has no object", self.key()));
        let mut object = object.ok_or_else(missing)?.clone();
        object.metadata_mut().resource_version = self.revision().to_string();
        reader.decorate(&mut object);
        Ok(object)
    }
}

fn decoded<'a, T: Kind>(lazy: &'a Lazy<T>, entry: &Entry, reader: &dyn ObjectReader<T>) -> Result<&'a T, Status> {
    let decoded = lazy.get_or_init(|| reader.decode(entry).map(Box::new).map_err(Box::new));
    decoded.as_deref().map_err(|status| (**status).clone())
}
