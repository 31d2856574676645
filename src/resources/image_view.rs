//! Cached views of images.

use bytes::Bytes;

use super::packed_view;
use super::revision_cache::MemorySize;
use crate::api::Image;
use crate::meta::{Status, hex};
use crate::store::{Entry, Revision};

/// The view of an image: a row in the format of `packed_view`.
#[derive(Debug)]
pub struct ImageView {
    /// The row.
    pub(super) row: Bytes,
    /// The revision of the row and of the image.
    pub(super) revision: Revision,
}

impl From<Entry> for ImageView {
    fn from(entry: Entry) -> Self {
        Self { row: entry.value, revision: entry.revision }
    }
}

impl ImageView {
    /// The view of an image without a row of its own. Its resourceVersion must be set.
    ///
    /// # Errors
    /// 500 for an image without a resourceVersion.
    pub(super) fn of_image(image: &Image) -> Result<Self, Status> {
        let revision = image.metadata.resource_version.parse().map_err(Status::hidden)?;
        Ok(Self { row: packed_view::encode(image), revision: Revision(revision) })
    }
}

impl MemorySize for ImageView {
    fn memory_size(&self) -> usize {
        self.row.len()
    }
}

/// The name of an image, compact for SHA-256 digests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ImageName {
    /// `sha256:` with these bytes in lower-case hexadecimal.
    Sha256([u8; 32]),
    /// Any other name.
    Other(Box<str>),
}

impl ImageName {
    /// The compact form of a name.
    pub(super) fn of(name: &str) -> Self {
        sha256(name).map_or_else(|| Self::Other(name.into()), Self::Sha256)
    }
}

fn sha256(name: &str) -> Option<[u8; 32]> {
    hex::decode_sha256(name.strip_prefix("sha256:")?.as_bytes().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_sha256_digests_are_compact() {
        let hash = "0123456789abcdef".repeat(4);
        let lower = ImageName::of(&format!("sha256:{hash}"));
        assert!(matches!(lower, ImageName::Sha256(bytes) if bytes[..2] == [0x01, 0x23]));
        for other in [
            format!("sha256:{}", hash.to_uppercase()),
            format!("sha256:{hash}00"),
            hash,
            "sha256:".into(),
        ] {
            assert_eq!(ImageName::of(&other), ImageName::Other(other.as_str().into()));
        }
    }
}
