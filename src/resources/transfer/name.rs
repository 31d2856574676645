//! Names of transferred objects.

use std::fmt;

use crate::api::{Image, ImageStream};
use crate::meta::{Kind, ObjectMeta};
use crate::resources::import_export::StoredObject;
use crate::resources::superseded_images::SUPERSEDED_IMAGE;

/// Name of a transferred object. Names have the order of keys in a store: images, streams,
/// superseded images, and the bytes of the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferName {
    kind: TransferKind,
    /// `name`, or `namespace/name`.
    path: String,
}

/// The kinds in the order of their transfer. Superseded images belong to images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum TransferKind {
    Image,
    Stream,
    Superseded,
}

impl TransferName {
    /// The name of an object.
    pub fn of(object: &StoredObject) -> Self {
        let ObjectMeta { namespace, name, .. } = object.metadata();
        let (kind, path) = match object {
            StoredObject::Image(_) => (TransferKind::Image, name.clone()),
            StoredObject::Superseded(_) => (TransferKind::Superseded, name.clone()),
            StoredObject::Stream(_) => (TransferKind::Stream, format!("{namespace}/{name}")),
        };
        Self { kind, path }
    }
}

impl fmt::Display for TransferName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TransferKind::Image => Image::KIND,
            TransferKind::Stream => ImageStream::KIND,
            TransferKind::Superseded => SUPERSEDED_IMAGE,
        };
        write!(f, "{kind} {}", self.path)
    }
}
