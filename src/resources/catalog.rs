//! The two stored kinds, and what is kept of streams in memory to find their images fast.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::API;
use super::fresh::{Fresh, FreshCache, Weigh};
use super::lists::{LISTS, parts_key};
use super::record;
use super::shown::{ImageName, ImageShown};
use super::strategies::{ImageStrategy, StreamStrategy};
use crate::api::{Image, ImageStream};
use crate::domain::history::MaxTagHistory;
use crate::domain::lookup::StreamIndex;
use crate::domain::policy::Registries;
use crate::meta::Status;
use crate::rest::failure::status_of;
use crate::rest::json;
use crate::rest::stored::Stored;
use crate::store::{Entry, Key, Lookup, Revision, Store};

/// Memory for what is kept of streams, in bytes.
const STREAM_CACHE_BYTES: u64 = 16 << 20;
/// Memory for what streams show of images, in bytes.
const IMAGE_CACHE_BYTES: u64 = 26 << 20;

/// After this many reads in a row others get their turn.
const READS_AT_A_TIME: usize = 64;

/// The stored images and streams.
pub struct Catalog {
    /// All images.
    pub images: Arc<Stored<Image, ImageStrategy>>,
    /// All streams.
    pub streams: Arc<Stored<ImageStream, StreamStrategy>>,
    /// Where images are pulled from and pushed to.
    pub registries: Registries,
    /// How many events a tag keeps.
    pub tag_history: MaxTagHistory,
    views: FreshCache<Key, StreamView>,
    images_shown: FreshCache<ImageName, ImageShown>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams of a namespace; none for any number.
    pub streams_per_namespace: Option<NonZeroU64>,
    /// Bytes of one object as it is stored.
    pub object_bytes: usize,
    /// Events of a tag.
    pub tag_history: MaxTagHistory,
}

/// What is needed of a stream to show its images, as of one revision of the stream.
#[derive(Debug)]
pub struct StreamView {
    /// The JSON of the stream's annotations; empty where it has none.
    pub annotations: Vec<u8>,
    /// The images in the history of its tags.
    pub history: StreamIndex,
    family: Mutex<Option<Family>>,
}

/// The images of a stream with the parts of those that list images, as of one revision of all such lists.
#[derive(Clone, Debug)]
struct Family {
    /// The latest revision of the store when this was known to be right.
    latest: Option<Revision>,
    lists: Option<Revision>,
    index: Arc<StreamIndex>,
}

impl Catalog {
    /// What a store holds.
    pub fn new(store: &Arc<dyn Store>, registries: Registries, limits: &Limits) -> Self {
        let Limits { streams_per_namespace, object_bytes, tag_history } = *limits;
        let strategy = StreamStrategy { registries: registries.clone(), tag_history };
        let streams = Stored::new(store.clone(), API, "imagestreams", strategy).of_at_most(object_bytes);
        Self {
            images: Arc::new(Stored::new(store.clone(), API, "images", ImageStrategy).of_at_most(object_bytes)),
            streams: Arc::new(match streams_per_namespace {
                Some(most) => streams.at_most(most),
                None => streams,
            }),
            registries,
            tag_history,
            views: FreshCache::new(STREAM_CACHE_BYTES),
            images_shown: FreshCache::new(IMAGE_CACHE_BYTES),
        }
    }

    /// What is needed to show images of a stream; as fresh as the store, decoded once a revision while there is room.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn stream_view(&self, namespace: &str, name: &str) -> Result<Option<Arc<Fresh<StreamView>>>, Status> {
        let key = self.streams.key(namespace, name);
        self.views.get(self.streams.store(), key, Key::clone, |entry| self.view_of(&entry)).await
    }

    fn view_of(&self, entry: &Entry) -> Result<StreamView, Status> {
        let stream = self.streams.decode(entry)?;
        let annotations = &stream.metadata.annotations;
        Ok(StreamView {
            annotations: if annotations.is_empty() { Vec::new() } else { json::encode(annotations) },
            history: StreamIndex::of(&stream),
            family: Mutex::new(None),
        })
    }

    /// The images of a stream and, recursively, the parts of those that list images.
    ///
    /// Built again only when the stream changed, or any image that lists images did.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn family(&self, view: &StreamView) -> Result<Arc<StreamIndex>, Status> {
        let latest = self.images.store().latest();
        let kept = view.family.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(family) = kept.as_ref().filter(|family| latest.is_some() && family.latest == latest) {
            return Ok(family.index.clone());
        }
        let lists = self.row(&Key::new(LISTS)).await?.map(|entry| entry.revision);
        let index = match kept.filter(|family| family.lists == lists) {
            Some(family) => family.index,
            None => Arc::new(self.family_index(view).await?),
        };
        let family = Family { latest, lists, index: index.clone() };
        *view.family.lock().unwrap_or_else(PoisonError::into_inner) = Some(family);
        Ok(index)
    }

    async fn family_index(&self, view: &StreamView) -> Result<StreamIndex, Status> {
        let mut open: Vec<String> = view.history.names().map(str::to_owned).collect();
        let mut seen: HashSet<String> = open.iter().cloned().collect();
        for step in 1.. {
            let Some(name) = open.pop() else {
                break;
            };
            if step % READS_AT_A_TIME == 0 {
                tokio::task::yield_now().await;
            }
            let Some(parts) = self.row(&parts_key(&name)).await? else {
                continue;
            };
            for part in String::from_utf8_lossy(&parts.value).lines() {
                if seen.insert(part.to_owned()) {
                    open.push(part.to_owned());
                }
            }
        }
        Ok(StreamIndex::from_names(seen))
    }

    /// The row with what streams show of the image `name`; as fresh as the store.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn image_shown(&self, name: &str) -> Result<Option<Arc<Fresh<ImageShown>>>, Status> {
        let make = |entry| Ok(ImageShown::from(entry));
        self.images_shown.get(self.images.store(), ImageName::of(name), |_| record::key(name), make).await
    }

    /// The entry of a row beside the stored objects.
    ///
    /// # Errors
    /// Failures of the store.
    async fn row(&self, key: &Key) -> Result<Option<Entry>, Status> {
        match self.images.store().get(key, None).await.map_err(|error| status_of(&error))? {
            Lookup::Found(entry) => Ok(Some(entry)),
            Lookup::Missing | Lookup::Unchanged => Ok(None),
        }
    }
}

impl Weigh for StreamView {
    fn weigh(&self) -> usize {
        // Twice the names, for a family about as large as the history; it is made later, if at all.
        self.annotations.len() + 2 * self.history.size()
    }
}
