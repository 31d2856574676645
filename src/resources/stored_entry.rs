//! The kinds of entries in a store.

use super::limit_ranges::LimitRanges;
use super::openshift_layout::StoredForm;
use super::strategies::{ImageStrategy, StreamStrategy};
use super::{import_sources, manifest_lists, packed_view};
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::meta::Kind;
use crate::registry::strategy::Strategy;
use crate::store::{Change, Entry, Key};

/// An entry of a store.
#[derive(Clone, Debug)]
pub(super) enum StoredEntry {
    /// An image.
    Image(Box<Image>),
    /// A stream.
    Stream(Box<ImageStream>),
    /// A row that is derived from an image.
    Derived,
    /// The unproved form of an image that a proof replaced.
    Superseded(Box<Image>),
    /// The sources of imported tags of a stream.
    Sources,
    /// An entry that this version does not know.
    Unknown,
}

impl StoredEntry {
    /// Decodes an entry of a store with objects of this form. Objects come without a
    /// resourceVersion.
    ///
    /// # Errors
    /// A sentence if an object does not decode or does not match its key.
    pub(super) fn read(entry: &Entry, stored_form: StoredForm) -> Result<Self, String> {
        let images = ImageStrategy { stored_form };
        let key = entry.key.as_str();
        let resource =
            key.strip_prefix('/').and_then(|key| key.strip_prefix(GROUP)?.strip_prefix('/'));
        match resource.and_then(|resource| resource.split_once('/')) {
            Some(("images", name)) => {
                let image = decode(&images, entry)?;
                if image.metadata.name == name {
                    Ok(Self::Image(Box::new(image)))
                } else {
                    Err(name_mismatch(entry))
                }
            }
            Some(("imagestreams", name)) => {
                let stream = decode(&stream_strategy(stored_form), entry)?;
                let place = format!("{}/{}", stream.metadata.namespace, stream.metadata.name);
                if place == name {
                    Ok(Self::Stream(Box::new(stream)))
                } else {
                    Err(name_mismatch(entry))
                }
            }
            _ if Self::is_derived(&entry.key) => Ok(Self::Derived),
            Some(("unproved", name)) => {
                let image = decode(&images, entry)?;
                if image.metadata.name == name {
                    Ok(Self::Superseded(Box::new(image)))
                } else {
                    Err(name_mismatch(entry))
                }
            }
            Some(("importsources", _)) => match import_sources::decode(Some(entry)) {
                Ok(_) => Ok(Self::Sources),
                Err(status) => Err(status.hidden.unwrap_or(status.message)),
            },
            _ => Ok(Self::Unknown),
        }
    }

    /// Returns true for the key of a derived row.
    pub(super) fn is_derived(key: &Key) -> bool {
        let key = key.as_str();
        key == manifest_lists::MANIFEST_LISTS_KEY
            || [manifest_lists::children_key(""), packed_view::key("")]
                .iter()
                .any(|place| key.starts_with(place.as_str()))
    }
}

/// The derived rows of a new image.
pub(super) fn derived_rows(image: &Image) -> Vec<Change> {
    ImageStrategy::default().derived_rows(&image.metadata.name, None, Some(image))
}

/// A strategy for decoding. The stored form does not depend on its other configuration.
fn stream_strategy(stored_form: StoredForm) -> StreamStrategy {
    StreamStrategy {
        stored_form,
        registries: Registries::default(),
        tag_history: MaxTagHistory::default(),
        ranges: LimitRanges::default(),
    }
}

fn decode<T: Kind>(strategy: &impl Strategy<T>, entry: &Entry) -> Result<T, String> {
    let object = strategy.decode(&entry.value);
    let mut object =
        object.map_err(|why| format!("the object {} cannot be read: {why}", entry.key))?;
    object.default_fields();
    object.metadata_mut().resource_version.clear();
    Ok(object)
}

fn name_mismatch(entry: &Entry) -> String {
    format!("the object {} does not match the name in its key", entry.key)
}
