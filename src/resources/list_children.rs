//! The children of manifest lists, from rows of their own or from the stored images.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::image_view::ImageName;
use super::manifest_lists::{MANIFEST_LISTS_KEY, children_key};
use super::openshift_layout::StoredForm;
use super::revision_cache::single_shard;
use super::strategies::ImageStrategy;
use crate::api::GROUP;
use crate::meta::{GroupResource, Status};
use crate::registry::keys;
use crate::registry::storage_errors::status_of;
use crate::registry::strategy::Strategy;
use crate::store::{Entry, Key, Lookup, ReadPoint, Revision, Store, StoreError};

const IMAGES: GroupResource<'static> = GroupResource { group: GROUP, name: "images" };

/// The size of the cache of children, in bytes.
const CACHE_BYTES: u64 = 8 << 20;

/// The children of manifest lists in a store.
pub(super) struct ListChildren {
    stored_form: StoredForm,
    /// The children of images as of their revisions, where no rows have them.
    known: Cache<ImageName, KnownChildren, KnownChildrenWeighter>,
}

/// The children of an image at the revision of its last write.
#[derive(Clone)]
struct KnownChildren {
    revision: Revision,
    names: Arc<[String]>,
}

/// An error of reading the children of manifest lists.
#[derive(Debug)]
pub(super) enum RowError {
    /// The row of this key is damaged.
    Damaged(Key),
    /// Any other error.
    Failed(Box<Status>),
}

impl From<Status> for RowError {
    fn from(status: Status) -> Self {
        Self::Failed(Box::new(status))
    }
}

impl ListChildren {
    /// The children in a store with objects of this form.
    pub(super) fn new(stored_form: StoredForm) -> Self {
        Self { stored_form, known: single_shard(CACHE_BYTES, KnownChildrenWeighter) }
    }

    /// A revision that is not older than the last change of any manifest list; 0 if there is none.
    ///
    /// # Errors
    /// A damaged row, and store failures.
    pub(super) async fn revision(&self, store: &dyn Store) -> Result<Revision, RowError> {
        match self.stored_form {
            StoredForm::Own => {
                let row = entry(store, &Key::new(MANIFEST_LISTS_KEY)).await?;
                Ok(row.map(|row| row.revision).unwrap_or_default())
            }
            StoredForm::OpenShift => {
                store.current().await.map_err(|error| status_of(&error).into())
            }
        }
    }

    /// The names of the children of an image, which need not be a manifest list. Reads with the same
    /// `point` share their freshness.
    ///
    /// # Errors
    /// A damaged row, an image that cannot be read, and store failures.
    pub(super) async fn of(
        &self,
        store: &dyn Store,
        point: &ReadPoint,
        image: &str,
    ) -> Result<Vec<String>, RowError> {
        match self.stored_form {
            StoredForm::Own => {
                let row = entry(store, &children_key(image)).await?;
                let text = row.as_ref().map(|row| String::from_utf8_lossy(&row.value));
                let lines = text.as_deref().unwrap_or_default().lines();
                Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
            }
            StoredForm::OpenShift => self.of_stored_image(store, point, image).await,
        }
    }

    async fn of_stored_image(
        &self,
        store: &dyn Store,
        point: &ReadPoint,
        image: &str,
    ) -> Result<Vec<String>, RowError> {
        let (name, key) = (ImageName::of(image), keys::key(IMAGES, "", image));
        let known = self.known.get(&name);
        let revision = known.as_ref().map(|known| known.revision);
        let names = match (found(store.get_since(&key, revision, point).await)?, known) {
            (Lookup::Unchanged, Some(known)) => known.names,
            (Lookup::Found(stored), _) => {
                let names = self.decode(&stored)?;
                let known = KnownChildren { revision: stored.revision, names: names.clone() };
                self.known.insert(name, known);
                names
            }
            (Lookup::Missing | Lookup::Unchanged, _) => {
                self.known.remove(&name);
                return Ok(Vec::new());
            }
        };
        Ok(names.to_vec())
    }

    fn decode(&self, stored: &Entry) -> Result<Arc<[String]>, Status> {
        let image = ImageStrategy { stored_form: self.stored_form }.decode(&stored.value);
        let image = image.map_err(|why| Status::hidden(format!("{}: {why}", stored.key)))?;
        Ok(image.docker_image_manifests.into_iter().map(|child| child.digest).collect())
    }

    /// The prefix of the rows that change with manifest lists; none without rows.
    pub(super) fn rows(&self) -> Option<&'static str> {
        (self.stored_form == StoredForm::Own).then_some(MANIFEST_LISTS_KEY)
    }
}

async fn entry(store: &dyn Store, key: &Key) -> Result<Option<Entry>, RowError> {
    match found(store.get(key, None).await)? {
        Lookup::Found(entry) => Ok(Some(entry)),
        Lookup::Missing | Lookup::Unchanged => Ok(None),
    }
}

fn found(lookup: Result<Lookup, StoreError>) -> Result<Lookup, RowError> {
    lookup.map_err(|error| match error {
        StoreError::Damaged { key, .. } => RowError::Damaged(key),
        error => status_of(&error).into(),
    })
}

#[derive(Clone)]
struct KnownChildrenWeighter;

impl Weighter<ImageName, KnownChildren> for KnownChildrenWeighter {
    fn weight(&self, _: &ImageName, known: &KnownChildren) -> u64 {
        /// Estimated memory besides the names, in bytes.
        const ENTRY: usize = 150;
        let names = known.names.iter().map(|name| size_of::<String>() + name.len());
        (ENTRY + names.sum::<usize>()) as u64
    }
}
