//! Evidence for pushed images, and replacement of stored images by better proved ones.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::digest::Digest;
use super::manifest::{self, Manifest, ManifestList};
use super::{image_metadata, image_strategy, mapping, unproved};
use crate::api::{Authored, DockerImageMetadata, Evidence, Image, ImageLayer, NamedBlobs, Proof};
use crate::meta::ObjectMeta;

/// Returns the evidence for an image as sent in a mapping.
///
/// `metadata.creationTimestamp` must be set, as for [`image_metadata::fill`].
pub fn evidence_of(image: &Image) -> Evidence {
    evidence_after_fill(image, &filled(image))
}

/// Returns the evidence for an image, of which `shown` is the [filled](image_metadata::fill) form.
pub fn evidence_after_fill(image: &Image, shown: &Image) -> Evidence {
    if !mapping::is_named_by_manifest(image) {
        return Evidence::unproved();
    }
    let manifest = Manifest::read(&image.docker_image_manifest).unwrap_or_default();
    let layers = image_metadata::named_layers(&manifest);
    let has_claims = has_claims(image, shown, &manifest, &layers);
    let proof = match (has_named_config(image, &manifest), has_claims) {
        (false, true) => Proof::ManifestWithClaims,
        (false, false) => Proof::Manifest,
        (true, true) => Proof::FullWithClaims,
        (true, false) => Proof::Full,
    };
    let config = config_of(&manifest).map(str::to_owned);
    let blobs = has_claims.then_some(NamedBlobs { layers, config });
    Evidence { proof, blobs, ..Evidence::default() }
}

/// Returns the digests in the manifest list of an image, regardless of its media type. Empty if the
/// manifest is not a list.
pub fn named_children(image: &Image) -> Vec<String> {
    let list = ManifestList::read(&image.docker_image_manifest).unwrap_or_default();
    list.manifests.into_iter().map(|child| child.digest).collect()
}

/// Drops children that are not in the manifest. They would give the stream access to other images.
pub fn keep_named_children(image: &mut Image, named: &[String]) {
    if image.evidence.proof > Proof::Nothing {
        let named: HashSet<&String> = named.iter().collect();
        image.docker_image_manifests.retain(|child| named.contains(&child.digest));
    }
}

/// Returns the image that replaces `stored` if `pushed` is better proved.
///
/// Content, layers, metadata and pull spec are those of `pushed`. The identity of the object, the
/// namespace that pushed it first, its signatures, unknown fields, and labels and annotations set
/// through `images` remain.
pub fn superseding(stored: &Image, pushed: &Image) -> Option<Image> {
    if level(stored) >= pushed.evidence.proof {
        return None;
    }
    let authored = authored(stored);
    let mut image = pushed.clone();
    image.metadata = superseding_metadata(stored, pushed, &authored);
    let described = image.docker_image_metadata.image_mut();
    if described.id == pushed.metadata.name
        && described.created == pushed.metadata.creation_timestamp
    {
        // The creation time of a manifest list is that of its object.
        described.created = stored.metadata.creation_timestamp;
    }
    image.signatures.clone_from(&stored.signatures);
    image.unknown_fields.clone_from(&stored.unknown_fields);
    image.evidence.authored = authored;
    image.evidence.has_unproved_form =
        stored.evidence.has_unproved_form || unproved::is_kept(&stored.evidence);
    if !stored.evidence.namespace.is_empty() {
        image.evidence.namespace.clone_from(&stored.evidence.namespace);
    }
    image_strategy::drop_unstored(&mut image);
    Some(image)
}

/// Returns the metadata of `stored` with the labels and annotations of `pushed`, except for those
/// set through `images`.
fn superseding_metadata(stored: &Image, pushed: &Image, authored: &Authored) -> ObjectMeta {
    let old = &stored.metadata;
    let mut meta = old.clone();
    meta.labels = pushed.metadata.labels.clone();
    meta.annotations = pushed.metadata.annotations.clone();
    let set = |keys: &BTreeSet<String>, from: &BTreeMap<String, String>| -> Vec<(String, String)> {
        keys.iter().filter_map(|key| Some((key.clone(), from.get(key)?.clone()))).collect()
    };
    meta.labels.extend(set(&authored.labels, &old.labels));
    // The layers, and so their order, are those of `pushed`.
    let annotations = set(&authored.annotations, &old.annotations).into_iter();
    meta.annotations.extend(annotations.filter(|(key, _)| key != image_metadata::LAYERS_ORDER));
    meta
}

/// Returns the degree of proof of a stored image. Without recorded evidence it is computed from the
/// content; if a registry stores the content, only a full proof replaces the image.
fn level(stored: &Image) -> Proof {
    if stored.evidence != Evidence::default() {
        return stored.evidence.proof;
    }
    match stored.docker_image_manifest.is_empty() {
        true if image_strategy::is_kept_by_registry(stored) => Proof::FullWithClaims,
        true => Proof::Nothing,
        false => evidence_of(stored).proof,
    }
}

/// Returns the labels and annotations that were set through `images`. Without recorded evidence,
/// all of them.
fn authored(stored: &Image) -> Authored {
    if stored.evidence != Evidence::default() {
        return stored.evidence.authored.clone();
    }
    let ObjectMeta { labels, annotations, .. } = &stored.metadata;
    Authored {
        labels: labels.keys().cloned().collect(),
        annotations: annotations.keys().cloned().collect(),
    }
}

/// Records the labels and annotations that an update through `images` sets in `new`.
pub fn record_authored(old: &Image, new: &mut Image) {
    let is_same = old.metadata.labels == new.metadata.labels
        && old.metadata.annotations == new.metadata.annotations;
    if is_same || old.evidence.proof >= Proof::Full {
        return;
    }
    let mut authored = authored(old);
    for (keys, before, after) in [
        (&mut authored.labels, &old.metadata.labels, &new.metadata.labels),
        (&mut authored.annotations, &old.metadata.annotations, &new.metadata.annotations),
    ] {
        keys.retain(|key| after.contains_key(key));
        keys.extend(
            after
                .iter()
                .filter(|(key, value)| before.get(*key) != Some(value))
                .map(|(key, _)| key.clone()),
        );
    }
    // The image has recorded evidence from now on.
    new.evidence.proof = level(old);
    new.evidence.authored = authored;
}

/// Fills a copy of an image. On an error, fields that were set before it remain.
fn filled(image: &Image) -> Image {
    let mut shown = image.clone();
    let _ = image_metadata::fill(&mut shown);
    shown
}

/// Returns true if the image has content that does not follow from its manifest and configuration.
fn has_claims(image: &Image, shown: &Image, manifest: &Manifest, named: &[ImageLayer]) -> bool {
    let has_named_layers =
        has_same_layers(&image.docker_image_layers, named, manifest.schema_version());
    let has_other_layers = !(has_named_layers || image.docker_image_layers.is_empty());
    let has_stray_config = config_of(manifest).is_none() && !image.docker_image_config.is_empty();
    has_other_layers
        || has_stray_config
        || shown.docker_image_metadata_version != DockerImageMetadata::DEFAULT_VERSION
        || !is_media_type_of(
            &shown.docker_image_manifest_media_type,
            manifest,
            &image.docker_image_manifest,
        )
        || has_other_metadata(image, shown)
}

/// Returns true if the metadata is another one than without metadata from the client.
fn has_other_metadata(image: &Image, shown: &Image) -> bool {
    if image.docker_image_metadata == DockerImageMetadata::default() {
        return false;
    }
    let metadata = DockerImageMetadata::default();
    let computed = filled(&Image { docker_image_metadata: metadata, ..image.clone() });
    shown.docker_image_metadata != computed.docker_image_metadata
}

/// Returns true if the media type is that of the manifest, or a compatible one if the manifest has
/// none. The media type determines if an image has a configuration or children.
fn is_media_type_of(media_type: &str, manifest: &Manifest, text: &str) -> bool {
    if manifest.schema_version() != 2 {
        return true;
    }
    if !manifest.media_type.is_empty() {
        return media_type == manifest.media_type;
    }
    match config_of(manifest) {
        Some(_) => manifest::has_config(media_type),
        None => {
            let has_children =
                ManifestList::read(text).is_ok_and(|list| !list.manifests.is_empty());
            manifest::is_list(media_type) == has_children
        }
    }
}

/// Returns true if both lists contain the same layers in any order. For schema 1, whose manifests
/// have no sizes and media types, only the digests count.
fn has_same_layers(left: &[ImageLayer], right: &[ImageLayer], schema: i64) -> bool {
    let sorted = |layers: &[ImageLayer]| {
        let known = |layer: &ImageLayer| {
            if schema == 1 { (0, String::new()) } else { (layer.size, layer.media_type.clone()) }
        };
        let mut layers: Vec<_> =
            layers.iter().map(|layer| (layer.name.clone(), known(layer))).collect();
        layers.sort_unstable();
        layers
    };
    left.len() == right.len() && sorted(left) == sorted(right)
}

/// Returns true if the image has the configuration that the manifest refers to, or the manifest
/// refers to none.
fn has_named_config(image: &Image, manifest: &Manifest) -> bool {
    config_of(manifest).is_none_or(|named| {
        let config = &image.docker_image_config;
        !config.is_empty()
            && named.parse::<Digest>().is_ok_and(|named| named.digest_of(config) == named)
    })
}

/// Returns the digest of the configuration in a manifest. Not validated.
fn config_of(manifest: &Manifest) -> Option<&str> {
    let digest = manifest.config.digest.as_str();
    (manifest.schema_version() == 2
        && !manifest::is_list(&manifest.media_type)
        && !digest.is_empty())
    .then_some(digest)
}

#[cfg(test)]
mod tests;
