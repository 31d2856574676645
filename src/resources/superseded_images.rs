//! Unproved images that a proof replaced: a row beside the image, written in the same transaction.
//!
//! Streams that pushed the unproved image go on to show it, and not what somebody else proved since. The row has the
//! form of a stored image. There is at most one for an image, since what is proved once is never unproved again.

use crate::api::Image;
use crate::domain::unproved;
use crate::store::{Change, Key};

/// The kind of these images in exports. No API serves it.
pub(super) const SUPERSEDED_IMAGE: &str = "SupersededImage";

/// The beginning of the keys of these rows.
pub(super) const PREFIX: &str = "/image.openshift.io/unproved/";

/// The key of the row of an image.
pub(super) fn key(image: &str) -> Key {
    Key::new(format!("{PREFIX}{image}"))
}

/// The change of the row that belongs to a change of the image `name`. `encode` gives the stored form of an image.
pub(super) fn change(
    name: &str,
    old: Option<&Image>,
    new: Option<&Image>,
    encode: impl FnOnce(&Image) -> Vec<u8>,
) -> Option<Change> {
    let old = old?;
    match new {
        None => old.evidence.has_unproved_form.then(|| Change::Delete(key(name))),
        Some(new) if new.evidence.proof > old.evidence.proof && unproved::is_kept(&old.evidence) => {
            Some(Change::Put(key(name), encode(old).into()))
        }
        Some(_) => None,
    }
}
