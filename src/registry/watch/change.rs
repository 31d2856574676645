//! One change of one object, decoded and written at most once for all who watch.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use super::scope::EventType;
use crate::meta::{Kind, Status};
use crate::store::{Entry, Event, Key, Revision};

/// What a watch must know of the objects of a resource.
pub(crate) trait Read<T>: Send + Sync + 'static {
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
pub(crate) struct Change<T> {
    /// What happened.
    pub(crate) event: Event,
    before: Lazy<T>,
    after: Lazy<T>,
    encoded: Mutex<VecDeque<EncodedEvent>>,
}

/// The number of encodings of a change that are cached.
const MAX_ENCODED: usize = 4;

/// An opaque number of an encoding. Equal numbers stand for equal bytes of equal events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding(pub(crate) u32);

struct EncodedEvent {
    key: (Encoding, EventType),
    bytes: Arc<OnceLock<Result<Bytes, Box<Status>>>>,
}

type Lazy<T> = OnceLock<Result<Box<T>, Box<Status>>>;

impl<T: Kind> Change<T> {
    pub(crate) fn new(event: Event) -> Arc<Self> {
        Arc::new(Self { event, before: Lazy::new(), after: Lazy::new(), encoded: Mutex::default() })
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
    pub(crate) fn before(&self, read: &dyn Read<T>) -> Result<Option<&T>, Status> {
        match &self.event {
            Event::Put { previous, .. } => {
                previous.as_ref().map(|entry| decoded(&self.before, entry, read)).transpose()
            }
            Event::Delete { previous, .. } => decoded(&self.before, previous, read).map(Some),
        }
    }

    /// The object after the change; none where there is none.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(crate) fn after(&self, read: &dyn Read<T>) -> Result<Option<&T>, Status> {
        match &self.event {
            Event::Put { entry, .. } => decoded(&self.after, entry, read).map(Some),
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
        encoding: Encoding,
        read: &dyn Read<T>,
        encode: impl FnOnce(&T) -> Result<Bytes, Status>,
    ) -> Result<Bytes, Status> {
        let bytes = self.slot((encoding, r#type));
        let encoded = bytes.get_or_init(|| {
            let object = self.shown(r#type, read).map_err(Box::new)?;
            encode(&object).map_err(Box::new)
        });
        encoded.clone().map_err(|status| *status)
    }

    fn slot(&self, key: (Encoding, EventType)) -> Arc<OnceLock<Result<Bytes, Box<Status>>>> {
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

    fn shown(&self, r#type: EventType, read: &dyn Read<T>) -> Result<T, Status> {
        let object = if r#type == EventType::Deleted { self.before(read)? } else { self.after(read)? };
        let missing = || Status::hidden(format!("the change of {} has no object", self.key()));
        let mut object = object.ok_or_else(missing)?.clone();
        object.metadata_mut().resource_version = self.revision().to_string();
        read.decorate(&mut object);
        Ok(object)
    }
}

fn decoded<'a, T: Kind>(lazy: &'a Lazy<T>, entry: &Entry, read: &dyn Read<T>) -> Result<&'a T, Status> {
    let decoded = lazy.get_or_init(|| read.decode(entry).map(Box::new).map_err(Box::new));
    decoded.as_deref().map_err(|status| (**status).clone())
}
