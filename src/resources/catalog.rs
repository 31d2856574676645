//! The stored images and streams, with caches for views of images.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;

use super::api_version::API;
use super::image_closures::{ClosureCache, ImageClosure};
use super::image_view::{ImageName, ImageView};
use super::limit_ranges::LimitRanges;
use super::list_children::RowError;
use super::openshift_layout::StoredForm;
use super::packed_view;
use super::revision_cache::{CacheError, RevisionCache, Revisioned};
use super::shared_streams::SharedStreams;
use super::strategies::{ImageStrategy, StreamStrategy};
use super::stream_view::StreamView;
use super::superseded_images;
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::registries::Registries;
use crate::domain::stream_index::StreamIndex;
use crate::domain::tag_history::MaxTagHistory;
use crate::domain::unproved;
use crate::machinery::json;
use crate::meta::{GroupResource, Status};
use crate::registry::admission::chain::AdmissionChain;
use crate::registry::admission::namespace_lifecycle::NamespaceLifecycle;
use crate::registry::admission::object_quota::ObjectQuota;
use crate::registry::admission::plugin::AdmissionPlugin;
use crate::registry::guaranteed_update::Storage;
use crate::registry::history_limit::HistoryLimiter;
use crate::registry::object_store::ObjectStore;
use crate::registry::workload::Workload;
use crate::store::{Entry, Key, MAX_VALUE_BYTES, ReadPoint, Store};
use crate::telemetry::OnceEach;

const STREAMS: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreams" };
/// The default size of the caches of stream and image views, in bytes: 10,000 images of ten layers
/// in 500 streams, or 4,000 streams of 20 images.
pub const DEFAULT_CACHE_BYTES: u64 = 28 << 20;
/// The maximum number of damaged rows that are logged.
const MAX_LOGGED_ROWS: usize = 1000;

/// The stored images and streams.
pub struct Catalog {
    /// The store, with the admission chain of all writes.
    pub storage: Arc<Storage>,
    /// All images.
    pub images: Arc<ObjectStore<Image, ImageStrategy>>,
    /// All streams.
    pub streams: Arc<ObjectStore<ImageStream, StreamStrategy>>,
    /// The registries that images are pulled from and pushed to.
    pub registries: Registries,
    /// The maximum number of events in the history of a tag.
    pub tag_history: MaxTagHistory,
    stream_views: RevisionCache<Key, StreamView>,
    image_views: RevisionCache<ImageName, ImageView>,
    closures: ClosureCache,
    /// Damaged rows that were logged.
    logged_damage: Mutex<OnceEach<Key>>,
    /// Streams whose tags are being read.
    pub(super) shared_streams: SharedStreams,
}

/// Limits and form of stored objects.
#[derive(Clone)]
pub struct StorageLimits {
    /// The maximum number of streams in a namespace; none for no limit.
    pub streams_per_namespace: Option<NonZeroU64>,
    /// The maximum size of a stored object, in bytes.
    pub object_bytes: usize,
    /// The maximum number of events in the history of a tag.
    pub tag_history: MaxTagHistory,
    /// The limits on the bytes that a namespace writes; none for no limits.
    pub history: Option<Arc<HistoryLimiter>>,
    /// The form in which objects are stored.
    pub stored_form: StoredForm,
    /// The size of the caches of stream and image views, in bytes.
    pub cache_bytes: u64,
}

impl Default for StorageLimits {
    /// The default limit of tag histories, and no other limits than that of the store.
    fn default() -> Self {
        Self { tag_history: MaxTagHistory::default(), ..Self::NONE }
    }
}

impl StorageLimits {
    /// No limits but that of the store, for objects of servers with other limits.
    pub const NONE: Self = Self {
        streams_per_namespace: None,
        object_bytes: MAX_VALUE_BYTES,
        tag_history: MaxTagHistory(None),
        history: None,
        stored_form: StoredForm::Own,
        cache_bytes: DEFAULT_CACHE_BYTES,
    };
}

/// The rules of a cluster for writes.
pub struct WriteRules {
    /// The admission plugins, in their order.
    pub plugins: Vec<Box<dyn AdmissionPlugin>>,
    /// The LimitRanges.
    pub ranges: LimitRanges,
}

impl WriteRules {
    /// The rules without a cluster.
    pub fn standalone() -> Self {
        Self { plugins: vec![Box::new(NamespaceLifecycle)], ranges: LimitRanges::default() }
    }
}

impl Catalog {
    /// The catalog of a store without the rules of a cluster.
    pub fn new(store: &Arc<dyn Store>, registries: Registries, limits: &StorageLimits) -> Self {
        Self::with_rules(store, registries, limits, WriteRules::standalone())
    }

    /// The catalog of a store with the rules of a cluster. The limits of this server come last.
    pub fn with_rules(
        store: &Arc<dyn Store>,
        registries: Registries,
        limits: &StorageLimits,
        rules: WriteRules,
    ) -> Self {
        let WriteRules { mut plugins, ranges } = rules;
        let StorageLimits {
            streams_per_namespace,
            object_bytes,
            tag_history,
            ref history,
            stored_form,
            cache_bytes,
        } = *limits;
        let strategy =
            StreamStrategy { stored_form, registries: registries.clone(), tag_history, ranges };
        if let Some(max) = streams_per_namespace {
            plugins.push(Box::new(ObjectQuota::new(store.clone(), STREAMS, max)));
        }
        let storage = Storage::new(store.clone(), AdmissionChain::new(plugins));
        let storage = Arc::new(storage.with_history_limiter(history.clone()));
        let streams = ObjectStore::new(storage.clone(), API, "imagestreams", strategy);
        let images =
            ObjectStore::new(storage.clone(), API, "images", ImageStrategy { stored_form });
        Self {
            storage,
            images: Arc::new(images.with_max_object_bytes(object_bytes)),
            streams: Arc::new(streams.with_max_object_bytes(object_bytes)),
            registries,
            tag_history,
            stream_views: RevisionCache::new(cache_bytes / 4),
            image_views: RevisionCache::new(cache_bytes / 4 * 3),
            closures: ClosureCache::new(stored_form, cache_bytes / 2),
            logged_damage: Mutex::new(OnceEach::bounded(MAX_LOGGED_ROWS)),
            shared_streams: SharedStreams::new(),
        }
    }

    /// The view of a stream at its latest revision as of a point. Views are cached per revision.
    ///
    /// # Errors
    /// Store failures.
    pub async fn stream_view(
        &self,
        load: &Workload,
        point: &ReadPoint,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Revisioned<StreamView>>>, Status> {
        let key = self.streams.key(namespace, name);
        let make = |entry: Entry| self.view_of(&entry);
        let view =
            self.stream_views.get(self.streams.store(), (load, point), key, Key::clone, make);
        view.await.map_err(Status::from)
    }

    /// Returns true if the damage of a row is not logged yet, and should be.
    pub(super) fn record_damage(&self, key: &Key) -> bool {
        self.logged_damage.lock().record(key.clone())
    }

    fn view_of(&self, entry: &Entry) -> Result<StreamView, Status> {
        let stream = self.streams.decode(entry)?;
        let annotations = &stream.metadata.annotations;
        Ok(StreamView {
            key: entry.key.clone(),
            annotations: if annotations.is_empty() {
                Vec::new()
            } else {
                json::encode(annotations)
            },
            history: StreamIndex::of(&stream),
            unproved: stream.unproved,
        })
    }

    /// The images of a stream and, recursively, the children of its manifest lists.
    ///
    /// # Errors
    /// 413 for too many images, and store failures.
    pub async fn image_closure(
        &self,
        load: &Workload,
        stream: &Revisioned<StreamView>,
    ) -> Result<Arc<ImageClosure>, Status> {
        loop {
            match self.closures.get(self.images.store(), load, stream).await {
                Ok(closure) => return Ok(closure),
                Err(RowError::Damaged(key)) => Box::pin(self.rebuild_children(load, &key)).await?,
                Err(RowError::Failed(status)) => return Err(*status),
            }
        }
    }

    /// The view of an image at its latest revision as of a point. A damaged view is rebuilt.
    ///
    /// # Errors
    /// Store failures.
    pub async fn image_view(
        &self,
        load: &Workload,
        point: &ReadPoint,
        name: &str,
    ) -> Result<Option<Arc<Revisioned<ImageView>>>, Status> {
        match self.read_image_view(load, point, name).await {
            // Boxed, because it would enlarge the future of every request.
            Err(CacheError::Damaged(..)) => Box::pin(self.rebuild_view(load, name)).await,
            read => read.map_err(Status::from),
        }
    }

    /// Reads the view of an image at its latest revision as of a point.
    pub(super) async fn read_image_view(
        &self,
        load: &Workload,
        point: &ReadPoint,
        name: &str,
    ) -> Result<Option<Arc<Revisioned<ImageView>>>, CacheError> {
        let (store, views, id) = (self.images.store(), &self.image_views, ImageName::of(name));
        match self.images.strategy().stored_form {
            StoredForm::Own => {
                let make = |entry| Ok(ImageView::from(entry));
                views.get(store, (load, point), id, |_| packed_view::key(name), make).await
            }
            StoredForm::OpenShift => {
                let make = |entry: Entry| ImageView::of_image(&self.images.decode(&entry)?);
                views.get(store, (load, point), id, |_| self.images.key("", name), make).await
            }
        }
    }

    /// The image `name` as a stream with the unproved images `unproved` shows it.
    ///
    /// # Errors
    /// Store failures.
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
        let kept = self.images.find_by_key(load, &superseded_images::key(name)).await?;
        Ok(kept.filter(|kept| kept.metadata.uid == *uid))
    }

    /// The view of an image that a stream has without proof. It is built for each request.
    ///
    /// # Errors
    /// Store failures.
    pub async fn unproved_image_view(
        &self,
        load: &Workload,
        view: &StreamView,
        name: &str,
    ) -> Result<Option<ImageView>, Status> {
        let image = self.image_in(load, &view.unproved, name).await?;
        image.map(|image| ImageView::of_image(&image)).transpose()
    }
}
