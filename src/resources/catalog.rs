//! The two stored kinds, and what is kept of streams in memory to find their images fast.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::API;
use super::families::{Families, Family};
use super::fresh::{Fresh, FreshCache, Weigh};
use super::record;
use super::shown::{ImageName, ImageShown};
use super::strategies::{ImageStrategy, StreamStrategy};
use super::superseded;
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::registries::Registries;
use crate::domain::stream_index::StreamIndex;
use crate::domain::tag_history::MaxTagHistory;
use crate::domain::unproved;
use crate::machinery::json;
use crate::meta::{GroupResource, Status};
use crate::registry::admission::{Chain, NamespaceLifecycle, ObjectQuota, Plugin};
use crate::registry::guaranteed_update::Storage;
use crate::registry::object_store::ObjectStore;
use crate::registry::pool::Workload;
use crate::store::{Entry, Key, Store};

const STREAMS: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreams" };
/// Memory for what is kept of streams, in bytes.
const STREAM_CACHE_BYTES: u64 = 8 << 20;
/// Memory for what streams show of images, in bytes.
const IMAGE_CACHE_BYTES: u64 = 26 << 20;

/// The stored images and streams.
pub struct Catalog {
    /// The store, with the admission chain of all writes.
    pub storage: Arc<Storage>,
    /// All images.
    pub images: Arc<ObjectStore<Image, ImageStrategy>>,
    /// All streams.
    pub streams: Arc<ObjectStore<ImageStream, StreamStrategy>>,
    /// Where images are pulled from and pushed to.
    pub registries: Registries,
    /// How many events a tag keeps.
    pub tag_history: MaxTagHistory,
    views: FreshCache<Key, StreamView>,
    images_shown: FreshCache<ImageName, ImageShown>,
    families: Families,
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
    /// The key of the stream.
    pub(super) key: Key,
    /// The JSON of the stream's annotations; empty where it has none.
    pub annotations: Vec<u8>,
    /// The images in the history of its tags.
    pub history: StreamIndex,
    /// The images that the stream has without proof, with the UIDs of the images that its mappings made.
    pub unproved: BTreeMap<String, String>,
}

impl Catalog {
    /// What a store holds.
    pub fn new(store: &Arc<dyn Store>, registries: Registries, limits: &Limits) -> Self {
        let Limits { streams_per_namespace, object_bytes, tag_history } = *limits;
        let strategy = StreamStrategy { registries: registries.clone(), tag_history };
        let mut plugins: Vec<Box<dyn Plugin>> = vec![Box::new(NamespaceLifecycle)];
        if let Some(most) = streams_per_namespace {
            plugins.push(Box::new(ObjectQuota::new(store.clone(), STREAMS, most)));
        }
        let storage = Arc::new(Storage::new(store.clone(), Chain::new(plugins)));
        let streams = ObjectStore::new(storage.clone(), API, "imagestreams", strategy);
        let images = ObjectStore::new(storage.clone(), API, "images", ImageStrategy);
        Self {
            storage,
            images: Arc::new(images.of_at_most(object_bytes)),
            streams: Arc::new(streams.of_at_most(object_bytes)),
            registries,
            tag_history,
            views: FreshCache::new(STREAM_CACHE_BYTES),
            images_shown: FreshCache::new(IMAGE_CACHE_BYTES),
            families: Families::new(),
        }
    }

    /// What is needed to show images of a stream; as fresh as the store, decoded once a revision while there is room.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn stream_view(
        &self,
        load: &Workload,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Fresh<StreamView>>>, Status> {
        let key = self.streams.key(namespace, name);
        self.views.get(self.streams.store(), load, key, Key::clone, |entry| self.view_of(&entry)).await
    }

    fn view_of(&self, entry: &Entry) -> Result<StreamView, Status> {
        let stream = self.streams.decode(entry)?;
        let annotations = &stream.metadata.annotations;
        Ok(StreamView {
            key: entry.key.clone(),
            annotations: if annotations.is_empty() { Vec::new() } else { json::encode(annotations) },
            history: StreamIndex::of(&stream),
            unproved: stream.unproved,
        })
    }

    /// The images of a stream and, recursively, the parts of those that list images, for a request with this load.
    ///
    /// # Errors
    /// 413 where they are too many; failures of the store.
    pub async fn family(&self, load: &Workload, stream: &Fresh<StreamView>) -> Result<Arc<Family>, Status> {
        self.families.get(self.images.store(), load, stream).await
    }

    /// The row with what streams show of the image `name`; as fresh as the store.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn image_shown(&self, load: &Workload, name: &str) -> Result<Option<Arc<Fresh<ImageShown>>>, Status> {
        let make = |entry| Ok(ImageShown::from(entry));
        self.images_shown.get(self.images.store(), load, ImageName::of(name), |_| record::key(name), make).await
    }

    /// The image `name` as a stream shows it that has the images `unproved` without proof.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn image_in(
        &self,
        load: &Workload,
        unproved: &BTreeMap<String, String>,
        name: &str,
    ) -> Result<Option<Image>, Status> {
        let image = self.images.find(load, "", name).await?;
        let (Some(uid), Some(image)) = (unproved.get(name), &image) else {
            return Ok(image);
        };
        if unproved::is_own(image, uid) {
            return Ok(Some(image.clone()));
        }
        let kept = self.images.find_at(load, &superseded::key(name)).await?;
        Ok(kept.filter(|kept| kept.metadata.uid == *uid))
    }

    /// The row with what a stream shows of an image that it has without proof. It is made anew for each request.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn unproved_shown(
        &self,
        load: &Workload,
        view: &StreamView,
        name: &str,
    ) -> Result<Option<ImageShown>, Status> {
        let image = self.image_in(load, &view.unproved, name).await?;
        image.map(|image| ImageShown::of_unproved(&image)).transpose()
    }
}

impl Weigh for StreamView {
    fn weigh(&self) -> usize {
        /// Memory of an entry of a map besides its texts, about.
        const ENTRY: usize = 64;
        let unproved: usize = self.unproved.iter().map(|(name, uid)| name.len() + uid.len() + ENTRY).sum();
        self.annotations.len() + self.history.size() + unproved
    }
}
