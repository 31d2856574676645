//! What the rows of a store are, for whoever reads all of them: objects, what is kept beside them, and neither.

use super::strategies::{ImageStrategy, StreamStrategy};
use super::{manifest_lists, packed_view};
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::meta::Kind;
use crate::registry::strategy::Strategy;
use crate::store::{Change, Entry};

/// A row of a store.
#[derive(Clone, Debug)]
pub(super) enum StoredEntry {
    /// An image.
    Image(Box<Image>),
    /// A stream.
    Stream(Box<ImageStream>),
    /// Something beside the images that is made of them.
    Derived,
    /// The unproved form of an image that a proof replaced.
    Superseded(Box<Image>),
    /// Nothing that this version knows.
    Unknown,
}

impl StoredEntry {
    /// What an entry is. Objects come as they are stored, without a resourceVersion.
    ///
    /// # Errors
    /// A sentence: an object cannot be read, or is another than its key says.
    pub(super) fn read(entry: &Entry) -> Result<Self, String> {
        let key = entry.key.as_str();
        let resource = key.strip_prefix('/').and_then(|key| key.strip_prefix(GROUP)?.strip_prefix('/'));
        match resource.and_then(|resource| resource.split_once('/')) {
            Some(("images", name)) => {
                let image = decode(&ImageStrategy, entry)?;
                if image.metadata.name == name { Ok(Self::Image(Box::new(image))) } else { Err(name_mismatch(entry)) }
            }
            Some(("imagestreams", name)) => {
                let stream = decode(&stream_strategy(), entry)?;
                let place = format!("{}/{}", stream.metadata.namespace, stream.metadata.name);
                if place == name { Ok(Self::Stream(Box::new(stream))) } else { Err(name_mismatch(entry)) }
            }
            _ if key == manifest_lists::MANIFEST_LISTS_KEY => Ok(Self::Derived),
            Some(("unproved", name)) => {
                let image = decode(&ImageStrategy, entry)?;
                if image.metadata.name == name {
                    Ok(Self::Superseded(Box::new(image)))
                } else {
                    Err(name_mismatch(entry))
                }
            }
            _ if [manifest_lists::children_key(""), packed_view::key("")]
                .iter()
                .any(|place| key.starts_with(place.as_str())) =>
            {
                Ok(Self::Derived)
            }
            _ => Ok(Self::Unknown),
        }
    }
}

/// What belongs beside a new image.
pub(super) fn derived_rows(image: &Image) -> Vec<Change> {
    ImageStrategy.derived_rows(&image.metadata.name, None, Some(image))
}

/// The form of streams does not depend on how the server is configured.
fn stream_strategy() -> StreamStrategy {
    StreamStrategy { registries: Registries::default(), tag_history: MaxTagHistory::default() }
}

fn decode<T: Kind>(strategy: &impl Strategy<T>, entry: &Entry) -> Result<T, String> {
    let object = strategy.decode(&entry.value);
    let mut object = object.map_err(|why| format!("the object {} cannot be read: {why}", entry.key))?;
    object.default_fields();
    object.metadata_mut().resource_version.clear();
    Ok(object)
}

fn name_mismatch(entry: &Entry) -> String {
    format!("the object {} has another name than its place", entry.key)
}
