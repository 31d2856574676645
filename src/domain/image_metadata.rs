//! Computation of an image's metadata and layers from its manifest and configuration, as
//! `InternalImageWithMetadata` in openshift-apiserver
//! pkg/image/apiserver/internal/imageutil/helpers.go.
//!
//! Runs when an image is written and when it is read.

use std::collections::BTreeSet;

use crate::machinery::go_json::GoJsonError;

use super::{
    image_config,
    manifest::{self, Manifest, ManifestDescriptor, ManifestList},
};
use crate::{
    api::{Image, ImageLayer, ImageManifest},
    meta::{excerpt, field},
};

/// Annotation with the order of `dockerImageLayers`. After [`fill`] it is `ascending`.
pub const LAYERS_ORDER: &str = "image.openshift.io/dockerLayersOrder";
const ASCENDING: &str = "ascending";
const DESCENDING: &str = "descending";
/// Media type of schema 1 layers, which the manifest does not contain.
const SCHEMA1_LAYER: &str = "application/vnd.docker.container.image.rootfs.diff+x-gtar";

/// Error of computing metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The manifest, or the history of a schema 1 manifest, cannot be parsed.
    #[error(transparent)]
    Manifest(GoJsonError),
    /// The configuration cannot be parsed.
    #[error("failed to parse dockerImageConfig: {0}")]
    Config(GoJsonError),
    /// The manifest requires a configuration, but the image has none.
    #[error("dockerImageConfig must not be empty for manifest type \"{0}\"")]
    NoConfig(String),
    /// The schema version is not supported.
    #[error(
        "unrecognized container image manifest schema {schema} for {} ({reference})",
        field::quote(name)
    )]
    UnknownSchema {
        /// Schema version.
        schema: i64,
        /// Name of the image.
        name: String,
        /// Pull spec of the image.
        reference: String,
    },
    /// A schema 1 manifest has a different number of history entries and layers.
    #[error(
        "the image {name} ({reference}) has mismatched history and fslayer cardinality ({history} != {layers})"
    )]
    Cardinality {
        /// Name of the image.
        name: String,
        /// Pull spec of the image.
        reference: String,
        /// Number of history entries.
        history: usize,
        /// Number of layers.
        layers: usize,
    },
    /// A schema 1 manifest has no history.
    #[error("the image {name} ({reference}) has a schema 1 manifest, but it doesn't have history")]
    NoHistory {
        /// Name of the image.
        name: String,
        /// Pull spec of the image.
        reference: String,
    },
}

/// Sets layers, media type and metadata of `image` from its manifest and configuration. An image
/// without a manifest is not changed.
///
/// If layers, size and media type are set, only the order of the layers changes. A manifest list
/// keeps its creation time in the metadata, or gets that of the object, so that reads of one object
/// never differ. Callers therefore set `metadata.creationTimestamp` first.
///
/// # Errors
/// The manifest or the configuration is invalid. Fields that were set before the error remain.
pub fn fill(image: &mut Image) -> Result<(), FillError> {
    if image.docker_image_manifest.is_empty() {
        return Ok(());
    }
    order_layers(image);
    if is_complete(image) {
        return Ok(());
    }
    let manifest = Manifest::read(&image.docker_image_manifest).map_err(FillError::Manifest)?;
    if manifest::is_list(&manifest.media_type) || is_untyped_index(image, &manifest) {
        if image.docker_image_manifest_media_type.is_empty() && manifest.media_type.is_empty() {
            image.docker_image_manifest_media_type = manifest::OCI_INDEX.into();
        }
        describe_list(image);
        return Ok(());
    }
    if image.docker_image_layers.is_empty() {
        image.docker_image_layers = layers(image, &manifest)?;
        mark_ascending(image);
    }
    match manifest.schema_version() {
        1 => describe_schema1(image, &manifest),
        2 => describe_schema2(image, manifest),
        _ => Err(unknown_schema(image, &manifest)),
    }
}

/// Fills `image` and removes its manifest and configuration, for views of an image in a stream.
///
/// # Errors
/// As [`fill`].
pub fn fill_for_view(image: &mut Image) -> Result<(), FillError> {
    fill(image)?;
    image.docker_image_manifest.clear();
    image.docker_image_config.clear();
    Ok(())
}

/// Returns the images of a manifest list. `None` if the media type is not that of a list or the
/// manifest cannot be parsed; the value from the client remains then.
pub fn manifests_of_list(image: &Image) -> Option<Vec<ImageManifest>> {
    if image.docker_image_manifest.is_empty()
        || !manifest::is_list(&image.docker_image_manifest_media_type)
    {
        return None;
    }
    let list = ManifestList::read(&image.docker_image_manifest).ok()?;
    Some(list.manifests.into_iter().map(ImageManifest::from).collect())
}

impl From<ManifestDescriptor> for ImageManifest {
    fn from(entry: ManifestDescriptor) -> Self {
        Self {
            digest: entry.digest,
            media_type: entry.media_type,
            manifest_size: entry.size,
            architecture: entry.platform.architecture,
            os: entry.platform.os,
            variant: entry.platform.variant,
        }
    }
}

/// Sorts the layers lowest first. The annotation determines the current order, or else the media
/// type.
fn order_layers(image: &mut Image) {
    if image.docker_image_layers.is_empty() {
        return;
    }
    let annotation = image.metadata.annotations.get(LAYERS_ORDER).map(String::as_str);
    let order = annotation.or(match image.docker_image_manifest_media_type.as_str() {
        manifest::SCHEMA1 | manifest::SCHEMA1_SIGNED => Some(ASCENDING),
        manifest::SCHEMA2 | manifest::OCI_MANIFEST => Some(DESCENDING),
        _ => None,
    });
    let Some(order) = order else { return };
    if order == DESCENDING {
        image.docker_image_layers.reverse();
    }
    mark_ascending(image);
}

fn mark_ascending(image: &mut Image) {
    image.metadata.annotations.insert(LAYERS_ORDER.into(), ASCENDING.into());
}

fn is_complete(image: &Image) -> bool {
    !image.docker_image_layers.is_empty()
        && image.docker_image_metadata.image().size > 0
        && !image.docker_image_manifest_media_type.is_empty()
}

/// Returns true for an OCI index that does not name its media type, which the OCI image
/// specification allows. The image names it, or the manifest has nothing but children.
fn is_untyped_index(image: &Image, manifest: &Manifest) -> bool {
    let may_be_index = manifest.schema_version() == 2
        && manifest.media_type.is_empty()
        && manifest.config.digest.is_empty()
        && manifest.layers.is_empty();
    may_be_index
        && match image.docker_image_manifest_media_type.as_str() {
            "" => ManifestList::read(&image.docker_image_manifest)
                .is_ok_and(|list| !list.manifests.is_empty()),
            media_type => manifest::is_list(media_type),
        }
}

fn describe_list(image: &mut Image) {
    let metadata = image.docker_image_metadata.image_mut();
    metadata.id.clone_from(&image.metadata.name);
    metadata.created = metadata.created.or(image.metadata.creation_timestamp);
}

fn layers(image: &Image, manifest: &Manifest) -> Result<Vec<ImageLayer>, FillError> {
    match manifest.schema_version() {
        1 if manifest.history.len() != manifest.fs_layers.len() => {
            let (history, layers) = (manifest.history.len(), manifest.fs_layers.len());
            let (name, reference) = names(image);
            Err(FillError::Cardinality { name, reference, history, layers })
        }
        1 | 2 => Ok(named_layers(manifest)),
        _ => Err(unknown_schema(image, manifest)),
    }
}

/// Returns the layers in a manifest, lowest first. Empty for an unsupported schema version.
pub(super) fn named_layers(manifest: &Manifest) -> Vec<ImageLayer> {
    match manifest.schema_version() {
        1 => schema1_layers(manifest),
        2 => {
            let layer = |layer: &manifest::Descriptor| ImageLayer {
                name: layer.digest.clone(),
                size: layer.size,
                media_type: layer.media_type.clone(),
            };
            manifest.layers.iter().map(layer).collect()
        }
        _ => Vec::new(),
    }
}

/// Takes sizes from the history. A layer without history has size 0.
fn schema1_layers(manifest: &Manifest) -> Vec<ImageLayer> {
    let mut history = manifest.history.iter();
    let newest_first = manifest.fs_layers.iter().map(|layer| ImageLayer {
        name: layer.blob_sum.clone(),
        size: history.next().map_or(0, |step| image_config::v1_layer_size(&step.v1_compatibility)),
        media_type: SCHEMA1_LAYER.into(),
    });
    let mut layers: Vec<ImageLayer> = newest_first.collect();
    layers.reverse();
    layers
}

fn describe_schema1(image: &mut Image, manifest: &Manifest) -> Result<(), FillError> {
    image.docker_image_manifest_media_type = manifest::SCHEMA1.into();
    let Some(newest) = manifest.history.first() else {
        let (name, reference) = names(image);
        return Err(FillError::NoHistory { name, reference });
    };
    let mut metadata =
        image_config::read_v1(&newest.v1_compatibility).map_err(FillError::Manifest)?;
    metadata.size = size_of_layers(&image.docker_image_layers, None);
    *image.docker_image_metadata.image_mut() = metadata;
    Ok(())
}

fn describe_schema2(image: &mut Image, manifest: Manifest) -> Result<(), FillError> {
    let media_type = &mut image.docker_image_manifest_media_type;
    if !manifest.media_type.is_empty() {
        *media_type = manifest.media_type;
    } else if media_type.is_empty() {
        *media_type = manifest::SCHEMA2.into();
    }
    if image.docker_image_config.is_empty() {
        return Err(FillError::NoConfig(excerpt::of(media_type)));
    }
    let mut metadata = image_config::read(&image.docker_image_config).map_err(FillError::Config)?;
    let config_size = i64::try_from(image.docker_image_config.len()).unwrap_or(i64::MAX);
    metadata.size = config_size
        .wrapping_add(size_of_layers(&image.docker_image_layers, Some(&manifest.config.digest)));
    metadata.id = manifest.config.digest;
    *image.docker_image_metadata.image_mut() = metadata;
    Ok(())
}

/// Returns the total size of the distinct layers except `config`. Wraps on overflow, like Go.
fn size_of_layers(layers: &[ImageLayer], config: Option<&String>) -> i64 {
    let mut counted: BTreeSet<&String> = config.into_iter().collect();
    layers
        .iter()
        .filter(|layer| counted.insert(&layer.name))
        .fold(0, |sum: i64, layer| sum.wrapping_add(layer.size))
}

fn unknown_schema(image: &Image, manifest: &Manifest) -> FillError {
    let (name, reference) = names(image);
    FillError::UnknownSchema { schema: manifest.schema_version(), name, reference }
}

fn names(image: &Image) -> (String, String) {
    (excerpt::of(&image.metadata.name), excerpt::of(&image.docker_image_reference))
}

#[cfg(test)]
mod tests;
