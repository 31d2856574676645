//! The two stored kinds, and what is kept of streams in memory to find their images fast.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::fresh::{Fresh, FreshCache, Weigh};
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
const IMAGE_CACHE_BYTES: u64 = 30 << 20;

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
    views: FreshCache<Key, StreamView>,
    images_shown: FreshCache<ImageName, ImageShown>,
}

/// The row with what streams show of an image, see [`record`].
#[derive(Debug)]
pub struct ImageShown {
    /// The row.
    pub(super) row: Bytes,
    /// The revision of the row and of the image.
    pub(super) revision: Revision,
}

/// The name of an image, small where it is a hash, as it mostly is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ImageName {
    Sha256([u8; 32]),
    Other(Box<str>),
}

impl ImageName {
    fn of(name: &str) -> Self {
        sha256(name).map_or_else(|| Self::Other(name.into()), Self::Sha256)
    }
}

/// The hash in a name that is one in lower case.
fn sha256(name: &str) -> Option<[u8; 32]> {
    let digits = name.strip_prefix("sha256:")?.as_bytes();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
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
    /// What a store holds; at most so many streams a namespace, if that is limited.
    pub fn new(store: &Arc<dyn Store>, registries: Registries, most_streams: Option<NonZeroU64>) -> Self {
        let resource = |name| Resource { group: GROUP, name };
        let strategy = StreamStrategy { registries: registries.clone() };
        let streams = Stored::new(store.clone(), resource("imagestreams"), strategy);
        Self {
            images: Arc::new(Stored::new(store.clone(), resource("images"), ImageStrategy)),
            streams: Arc::new(match most_streams {
                Some(most) => streams.at_most(most),
                None => streams,
            }),
            registries,
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
        let make = |Entry { value: row, revision, .. }| Ok(ImageShown { row, revision });
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

impl Weigh for ImageShown {
    fn weigh(&self) -> usize {
        self.row.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_only_if_they_are_the_same_text() {
        let hash = "0123456789abcdef".repeat(4);
        let lower = ImageName::of(&format!("sha256:{hash}"));
        assert!(matches!(lower, ImageName::Sha256(bytes) if bytes[..2] == [0x01, 0x23]));
        for other in [format!("sha256:{}", hash.to_uppercase()), format!("sha256:{hash}0"), hash, "sha256:".into()] {
            assert_eq!(ImageName::of(&other), ImageName::Other(other.as_str().into()));
        }
    }
}
