//! Rows about manifest lists: their children, and the revision of the last change of any list. They
//! are written in the transaction of the image, so that children are found without reading images.

use bytes::Bytes;

use crate::api::Image;
use crate::store::{Change, Key};

/// The key of the row that each write or delete of a manifest list also writes.
pub(super) const MANIFEST_LISTS_KEY: &str = "/image.openshift.io/lists";

/// The key of the row with the children of a manifest list, one digest per line.
pub(super) fn children_key(image: &str) -> Key {
    Key::new(format!("{MANIFEST_LISTS_KEY}/{image}"))
}

/// The manifest list of a row with children; none for other rows.
pub(super) fn list_of(key: &Key) -> Option<&str> {
    key.as_str().strip_prefix(MANIFEST_LISTS_KEY)?.strip_prefix('/')
}

/// The changes of rows that go with a change of an image.
pub(super) fn changes(old: Option<&Image>, new: Option<&Image>) -> Vec<Change> {
    let children = |image: Option<&Image>| -> Vec<String> {
        image
            .map(|image| {
                image.docker_image_manifests.iter().map(|child| child.digest.clone()).collect()
            })
            .unwrap_or_default()
    };
    let (before, after) = (children(old), children(new));
    let Some(image) = old.or(new).filter(|_| before != after) else {
        return Vec::new();
    };
    let key = children_key(&image.metadata.name);
    let change = if after.is_empty() {
        Change::Delete(key)
    } else {
        Change::Put(key, after.join("\n").into())
    };
    vec![Change::Put(Key::new(MANIFEST_LISTS_KEY), Bytes::new()), change]
}

/// The changes of rows that go with the end of an image that may have been a manifest list.
pub(super) fn removal(image: &str) -> Vec<Change> {
    let change = Change::Delete(children_key(image));
    vec![Change::Put(Key::new(MANIFEST_LISTS_KEY), Bytes::new()), change]
}
