//! Decoded streams that concurrent readers share.
//!
//! A large stream takes many times its stored size once it is decoded. Readers of tags need it
//! whole, and a list of tags as long as its client reads. While any reader uses a large stream, all
//! others get the same one. Its memory is charged once, to the reader that decoded it.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::strategies::StreamStrategy;
use crate::api::ImageStream;
use crate::meta::Status;
use crate::registry::list::entries::Entries;
use crate::registry::object_store::ObjectStore;
use crate::registry::storage_errors::status_of;
use crate::registry::strategy::UpdateStrategy;
use crate::registry::workload::{LARGE_OBJECT, Workload};
use crate::runtime::FairShare;
use crate::store::{Entry, Key, Lookup, Revision};

/// The number of slots from which unused ones are removed.
const MAX_SLOTS: usize = 64;

/// The large streams in use.
pub(super) struct SharedStreams {
    slots: Mutex<HashMap<Key, Arc<StreamSlot>>>,
}

/// The stream of a key. The lock is held while it is decoded, so that other readers wait for it.
type StreamSlot = tokio::sync::Mutex<Weak<SharedStream>>;

/// A stream as responses contain it.
pub(super) struct SharedStream {
    stream: ImageStream,
    revision: Revision,
    /// The names of the listed tags, by resource.
    tags: Mutex<HashMap<&'static str, Arc<[String]>>>,
    _memory: Option<FairShare>,
}

/// The place that a stream is read from.
#[derive(Clone, Copy)]
enum StreamSource<'a> {
    /// The latest revision.
    Latest,
    /// The revision of a list.
    List(&'a Entries),
}

impl SharedStreams {
    /// No stream is in use.
    pub(super) fn new() -> Self {
        Self { slots: Mutex::default() }
    }

    /// The latest revision of a stream; none if it does not exist.
    ///
    /// # Errors
    /// 429 if the memory is used up, and store failures.
    pub(super) async fn latest(
        &self,
        streams: &ObjectStore<ImageStream, StreamStrategy>,
        load: &Workload,
        key: &Key,
    ) -> Result<Option<Arc<SharedStream>>, Status> {
        loop {
            let found = streams.store().get(key, None).await.map_err(|error| status_of(&error))?;
            let Lookup::Found(entry) = found else {
                return Ok(None);
            };
            let size = entry.value.len();
            if size > LARGE_OBJECT {
                let revision = entry.revision;
                drop(entry);
                let source = (StreamSource::Latest, key, revision);
                return Box::pin(self.large(streams, load, source, size)).await;
            }
            if load.fits(size) {
                return SharedStream::decode(streams, &entry, None).map(Arc::new).map(Some);
            }
            drop(entry);
            load.reserve(size).await?;
        }
    }

    /// The stream of an entry of a list. Its memory must be reserved unless it is large.
    ///
    /// # Errors
    /// 429 if the memory is used up, and store failures.
    pub(super) async fn listed(
        &self,
        streams: &ObjectStore<ImageStream, StreamStrategy>,
        load: &Workload,
        entries: &mut Entries,
        entry: Entry,
    ) -> Result<Option<Arc<SharedStream>>, Status> {
        let size = entry.value.len();
        if size <= LARGE_OBJECT {
            return SharedStream::decode(streams, &entry, None).map(Arc::new).map(Some);
        }
        let (key, revision) = (entry.key.clone(), entry.revision);
        // The list holds nothing while it waits for the stream.
        drop(entry);
        entries.pause(0);
        let source = (StreamSource::List(entries), &key, revision);
        Box::pin(self.large(streams, load, source, size)).await
    }

    async fn large(
        &self,
        streams: &ObjectStore<ImageStream, StreamStrategy>,
        load: &Workload,
        (source, key, revision): (StreamSource<'_>, &Key, Revision),
        mut size: usize,
    ) -> Result<Option<Arc<SharedStream>>, Status> {
        let slot = self.slot(key);
        let mut shared = slot.lock().await;
        let current = shared.upgrade().filter(|current| current.revision == revision);
        if current.is_some() {
            return Ok(current);
        }
        loop {
            load.reserve(size).await?;
            let Some(entry) = source.read(streams, key).await? else {
                return Ok(None);
            };
            size = entry.value.len();
            if load.fits(size) {
                let memory = load.split_off(load.cost_of_object(size));
                let stream = Arc::new(SharedStream::decode(streams, &entry, memory)?);
                *shared = Arc::downgrade(&stream);
                return Ok(Some(stream));
            }
        }
    }

    fn slot(&self, key: &Key) -> Arc<StreamSlot> {
        let mut slots = self.slots.lock();
        if slots.len() >= MAX_SLOTS {
            let is_used = |slot: &StreamSlot| {
                slot.try_lock().map_or(true, |stream| stream.strong_count() > 0)
            };
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || is_used(slot));
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

impl StreamSource<'_> {
    async fn read(
        self,
        streams: &ObjectStore<ImageStream, StreamStrategy>,
        key: &Key,
    ) -> Result<Option<Entry>, Status> {
        match self {
            Self::List(entries) => entries.find(key.as_str()).await,
            Self::Latest => {
                let found = streams.store().get(key, None).await;
                match found.map_err(|error| status_of(&error))? {
                    Lookup::Found(entry) => Ok(Some(entry)),
                    Lookup::Missing | Lookup::Unchanged => Ok(None),
                }
            }
        }
    }
}

impl SharedStream {
    fn decode(
        streams: &ObjectStore<ImageStream, StreamStrategy>,
        entry: &Entry,
        memory: Option<FairShare>,
    ) -> Result<Self, Status> {
        let mut stream = streams.decode(entry)?;
        streams.strategy().decorate(&mut stream);
        Ok(Self { stream, revision: entry.revision, tags: Mutex::default(), _memory: memory })
    }

    /// The names of the tags that lists of a resource contain, in order. `names` computes them
    /// once.
    pub(super) fn listed_tags(
        &self,
        resource: &'static str,
        names: impl FnOnce(&ImageStream) -> Vec<&str>,
    ) -> Arc<[String]> {
        let names = || names(&self.stream).into_iter().map(str::to_owned).collect();
        self.tags.lock().entry(resource).or_insert_with(names).clone()
    }
}

impl Deref for SharedStream {
    type Target = ImageStream;

    fn deref(&self) -> &ImageStream {
        &self.stream
    }
}

#[cfg(test)]
mod tests;
