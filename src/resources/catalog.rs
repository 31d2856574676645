//! The two stored kinds, and what is kept of streams in memory to find their images fast.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::lists::{LISTS, parts_key};
use super::record;
use super::strategies::{ImageStrategy, StreamStrategy};
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::lookup::StreamIndex;
use crate::domain::policy::Registries;
use crate::meta::{Resource, Status};
use crate::rest::failure::status_of;
use crate::rest::json;
use crate::rest::stored::Stored;
use crate::store::{Entry, Key, Lookup, Revision, Store};

/// Memory for what is kept of streams, in bytes.
const STREAM_CACHE_BYTES: u64 = 16 << 20;
/// Memory for what streams show of images, in bytes.
const IMAGE_CACHE_BYTES: u64 = 40 << 20;

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
    views: Cache<Key, Arc<StreamView>, Weight>,
    images_shown: Cache<Key, Arc<Shown>, ShownWeight>,
}

/// What is needed of a stream to show its images, as of one revision of the stream.
#[derive(Debug)]
pub struct StreamView {
    revision: Revision,
    fresh: Freshness,
    /// The JSON of the stream's annotations; empty where it has none.
    pub annotations: Vec<u8>,
    /// The images in the history of its tags.
    pub history: StreamIndex,
    family: Mutex<Option<Family>>,
}

/// What a stream shows of an image, as of one revision of the image.
#[derive(Debug)]
pub struct Shown {
    /// The row.
    pub entry: Entry,
    fresh: Freshness,
}

/// The latest revision of the store when something was known to be right. While nothing is committed it still is, and
/// the store need not be asked.
#[derive(Debug, Default)]
struct Freshness(AtomicU64);

impl Freshness {
    fn is_sure(&self, latest: Option<Revision>) -> bool {
        latest.is_some_and(|latest| self.0.load(Ordering::Relaxed) == latest.0)
    }

    /// `latest` must have been read before what is known to be right now.
    fn note(&self, latest: Option<Revision>) {
        self.0.store(latest.unwrap_or_default().0, Ordering::Relaxed);
    }
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
    pub fn new(store: &Arc<dyn Store>, registries: Registries) -> Self {
        let resource = |name| Resource { group: GROUP, name };
        let strategy = StreamStrategy { registries: registries.clone() };
        Self {
            images: Arc::new(Stored::new(store.clone(), resource("images"), ImageStrategy)),
            streams: Arc::new(Stored::new(store.clone(), resource("imagestreams"), strategy)),
            registries,
            views: Cache::with_options(one_shard(STREAM_CACHE_BYTES), Weight, Default::default(), Default::default()),
            images_shown: Cache::with_options(
                one_shard(IMAGE_CACHE_BYTES),
                ShownWeight,
                Default::default(),
                Default::default(),
            ),
        }
    }

    /// What is needed to show images of a stream; as fresh as the store, decoded once for each revision.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn stream_view(&self, namespace: &str, name: &str) -> Result<Option<Arc<StreamView>>, Status> {
        let key = self.streams.key(namespace, name);
        let (latest, kept) = (self.streams.store().latest(), self.views.get(&key));
        if let Some(view) = kept.as_ref().filter(|view| view.fresh.is_sure(latest)) {
            return Ok(Some(view.clone()));
        }
        let known = kept.as_ref().map(|view| view.revision);
        let found = self.streams.store().get(&key, known).await.map_err(|error| status_of(&error))?;
        let view = match (found, kept) {
            (Lookup::Unchanged, Some(view)) => view,
            (Lookup::Found(entry), _) => {
                let view = Arc::new(self.view_of(&entry)?);
                self.views.insert(key, view.clone());
                view
            }
            (Lookup::Missing | Lookup::Unchanged, _) => {
                self.views.remove(&key);
                return Ok(None);
            }
        };
        view.fresh.note(latest);
        Ok(Some(view))
    }

    fn view_of(&self, entry: &Entry) -> Result<StreamView, Status> {
        let stream = self.streams.decode(entry)?;
        let annotations = &stream.metadata.annotations;
        Ok(StreamView {
            revision: entry.revision,
            fresh: Freshness::default(),
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
        let mut seen: HashSet<String> = view.history.names().iter().cloned().collect();
        let mut open: Vec<String> = view.history.names().to_vec();
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

    /// What streams show of the image `name`; as fresh as the store, read once for each revision while there is room.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn image_shown(&self, name: &str) -> Result<Option<Arc<Shown>>, Status> {
        let key = record::key(name);
        let (latest, kept) = (self.images.store().latest(), self.images_shown.get(&key));
        if let Some(shown) = kept.as_ref().filter(|shown| shown.fresh.is_sure(latest)) {
            return Ok(Some(shown.clone()));
        }
        let known = kept.as_ref().map(|shown| shown.entry.revision);
        let found = self.images.store().get(&key, known).await.map_err(|error| status_of(&error))?;
        let shown = match (found, kept) {
            (Lookup::Unchanged, Some(shown)) => shown,
            (Lookup::Found(entry), _) => {
                let shown = Arc::new(Shown { entry, fresh: Freshness::default() });
                self.images_shown.insert(key, shown.clone());
                shown
            }
            (Lookup::Missing | Lookup::Unchanged, _) => {
                self.images_shown.remove(&key);
                return Ok(None);
            }
        };
        shown.fresh.note(latest);
        Ok(Some(shown))
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

/// One shard, since a cache refuses what does not fit into a shard, and a stream may be as large as the whole cache.
fn one_shard(bytes: u64) -> quick_cache::Options {
    let mut options = quick_cache::OptionsBuilder::new();
    options.shards(1).estimated_items_capacity(4096).weight_capacity(bytes);
    options.build().expect("all options that are needed are given")
}

/// Weighs a stream by its names, which are nearly all that it keeps.
#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<StreamView>> for Weight {
    fn weight(&self, key: &Key, view: &Arc<StreamView>) -> u64 {
        const ENTRY: usize = 256;
        const NAME: usize = 40;
        let names: usize = view.history.names().iter().map(|name| name.len() + NAME).sum();
        // Twice the names, for a family that is as large as the history.
        (ENTRY + key.as_str().len() + view.annotations.len() + 2 * names) as u64
    }
}

/// Weighs what is shown of an image by its bytes.
#[derive(Clone)]
struct ShownWeight;

impl Weighter<Key, Arc<Shown>> for ShownWeight {
    fn weight(&self, key: &Key, shown: &Arc<Shown>) -> u64 {
        const ENTRY: usize = 128;
        (ENTRY + 2 * key.as_str().len() + shown.entry.value.len()) as u64
    }
}
