//! Small rows about images that list images: what they list, and when that last changed. They are written in the same
//! transaction as the images, so that parts are found without reading the images themselves.

use bytes::Bytes;

use crate::api::Image;
use crate::store::{Change, Key};

/// The row that changes whenever an image that lists images is written or deleted.
pub(super) const MANIFEST_LISTS_KEY: &str = "/image.openshift.io/lists";

/// The row that names the parts of an image that lists images, one a line.
pub(super) fn children_key(image: &str) -> Key {
    Key::new(format!("{MANIFEST_LISTS_KEY}/{image}"))
}

/// The image whose parts a row names; none for other rows.
pub(super) fn list_of(key: &Key) -> Option<&str> {
    key.as_str().strip_prefix(MANIFEST_LISTS_KEY)?.strip_prefix('/')
}

/// Keeps the rows about images that list images beside the images themselves.
pub(super) fn changes(old: Option<&Image>, new: Option<&Image>) -> Vec<Change> {
    let parts = |image: Option<&Image>| -> Vec<String> {
        image
            .map(|image| image.docker_image_manifests.iter().map(|part| part.digest.clone()).collect())
            .unwrap_or_default()
    };
    let (before, after) = (parts(old), parts(new));
    let Some(image) = old.or(new).filter(|_| before != after) else {
        return Vec::new();
    };
    let key = children_key(&image.metadata.name);
    let change = if after.is_empty() { Change::Delete(key) } else { Change::Put(key, after.join("\n").into()) };
    vec![Change::Put(Key::new(MANIFEST_LISTS_KEY), Bytes::new()), change]
}
