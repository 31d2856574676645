//! One change of one object, decoded and written at most once for all who watch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::scope::EventType;
use super::style::{Encoder, Style};
use crate::meta::{Kind, Status, Time};
use crate::store::{Entry, Event, Key, Revision};

/// What a watch must know of the objects of a resource.
pub(in crate::rest) trait Read<T>: Send + Sync + 'static {
    /// The object in an entry, as it is stored, with its resourceVersion.
    ///
    /// # Errors
    /// 500 for an entry that cannot be read.
    fn decode(&self, entry: &Entry) -> Result<T, Status>;

    /// The stored value of a field that lists can select by.
    fn field(&self, object: &T, name: &str) -> String;

    /// Sets what is computed on the way out.
    fn present(&self, object: &mut T);
}

/// A change of one object.
pub(super) struct Change<T> {
    /// What happened.
    pub(super) event: Event,
    before: Lazy<T>,
    after: Lazy<T>,
    /// How it was written so far.
    written: Mutex<VecDeque<Written>>,
}

/// How many ways of writing a change are kept; who needs one more writes it again.
const MOST_WRITTEN: usize = 4;

/// A change as it is written one way.
struct Written {
    way: (Style, EventType),
    bytes: Arc<OnceLock<Result<Bytes, Box<Status>>>>,
}

type Lazy<T> = OnceLock<Result<Box<T>, Box<Status>>>;

impl<T: Kind> Change<T> {
    pub(super) fn new(event: Event) -> Arc<Self> {
        Arc::new(Self { event, before: Lazy::new(), after: Lazy::new(), written: Mutex::default() })
    }

    pub(super) fn key(&self) -> &Key {
        self.event.key()
    }

    pub(super) fn revision(&self) -> Revision {
        self.event.revision()
    }

    /// The bytes that were stored, before and after.
    pub(super) fn stored_bytes(&self) -> usize {
        match &self.event {
            Event::Put { entry, previous } => {
                entry.value.len() + previous.as_ref().map_or(0, |previous| previous.value.len())
            }
            Event::Delete { previous, .. } => previous.value.len(),
        }
    }

    /// About the memory that it takes once it is decoded and written, in bytes.
    pub(super) fn cost(&self) -> usize {
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
    pub(super) fn before(&self, read: &dyn Read<T>) -> Result<Option<&T>, Status> {
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
    pub(super) fn after(&self, read: &dyn Read<T>) -> Result<Option<&T>, Status> {
        match &self.event {
            Event::Put { entry, .. } => decoded(&self.after, entry, read).map(Some),
            Event::Delete { .. } => Ok(None),
        }
    }

    /// The event for those to whom the change is of this type. An object that goes away is shown as it was, at the revision at
    /// which it went.
    ///
    /// # Errors
    /// 500 for an object that cannot be read.
    pub(super) fn written(
        &self,
        r#type: EventType,
        encoder: &Encoder<T>,
        read: &dyn Read<T>,
        now: Time,
    ) -> Result<Bytes, Status> {
        // The others who need it written this way wait for it, and nobody else.
        let bytes = self.place_of((encoder.style(), r#type));
        let written = bytes.get_or_init(|| self.write(r#type, encoder, read, now).map_err(Box::new));
        written.clone().map_err(|status| *status)
    }

    fn place_of(&self, way: (Style, EventType)) -> Arc<OnceLock<Result<Bytes, Box<Status>>>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = written.iter().find(|known| known.way == way) {
            return known.bytes.clone();
        }
        if written.len() == MOST_WRITTEN {
            written.pop_front();
        }
        let bytes = Arc::default();
        written.push_back(Written { way, bytes: Arc::clone(&bytes) });
        bytes
    }

    fn write(&self, r#type: EventType, encoder: &Encoder<T>, read: &dyn Read<T>, now: Time) -> Result<Bytes, Status> {
        let object = if r#type == EventType::Deleted { self.before(read)? } else { self.after(read)? };
        let missing = || Status::hidden(format!("a change of {} has no object to be shown", self.key()));
        let mut object = object.ok_or_else(missing)?.clone();
        object.metadata_mut().resource_version = self.revision().to_string();
        read.present(&mut object);
        encoder.event(r#type.into(), &object, now)
    }
}

fn decoded<'a, T: Kind>(lazy: &'a Lazy<T>, entry: &Entry, read: &dyn Read<T>) -> Result<&'a T, Status> {
    let decoded = lazy.get_or_init(|| read.decode(entry).map(Box::new).map_err(Box::new));
    decoded.as_deref().map_err(|status| (**status).clone())
}
