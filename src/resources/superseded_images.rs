//! Superseded images: the unproved forms of images that have been proved since, in rows of their
//! own that are written in the transaction of the image.
//!
//! Streams that pushed the unproved form continue to show it. The row has the form of a stored
//! image. There is at most one per image, because an image is proved only once.

use crate::api::Image;
use crate::domain::unproved;
use crate::store::{Change, Key};

/// The kind of these images in exports. No API serves it.
pub(super) const SUPERSEDED_IMAGE: &str = "SupersededImage";

/// The prefix of the keys.
pub(super) const PREFIX: &str = "/image.openshift.io/unproved/";

/// The key of the superseded form of an image.
pub(super) fn key(image: &str) -> Key {
    Key::new(format!("{PREFIX}{image}"))
}

/// The change of the row that goes with a change of the image `name`. `encode` encodes an image.
pub(super) fn change(
    name: &str,
    old: Option<&Image>,
    new: Option<&Image>,
    encode: impl FnOnce(&Image) -> Vec<u8>,
) -> Option<Change> {
    let old = old?;
    match new {
        None => old.evidence.has_unproved_form.then(|| Change::Delete(key(name))),
        Some(new)
            if new.evidence.proof > old.evidence.proof && unproved::is_kept(&old.evidence) =>
        {
            Some(Change::Put(key(name), encode(old).into()))
        }
        Some(_) => None,
    }
}
