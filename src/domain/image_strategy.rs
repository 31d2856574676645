//! Strategy of images: preparation for create and update, as openshift-apiserver
//! pkg/image/apiserver/registry/image/strategy.go.

use super::{
    digest::Digest,
    image_metadata,
    manifest::{self, Manifest},
    signed_manifest,
};
use crate::api::Image;

/// Annotation that is `"true"` if a registry stores manifest and configuration, so they are not
/// stored here.
pub const BLOB_STORED: &str = "image.openshift.io/manifestBlobStored";
/// Annotation of signatures that a controller manages. Not stored.
pub const MANAGED_SIGNATURE: &str = "image.openshift.io/managed-signature";

/// Prepares a new image: computes its metadata as far as possible, reads the children of a manifest
/// list, and drops fields that are not stored.
///
/// The creation time of the object must be set, because manifest lists take theirs from it.
pub fn prepare_for_create(image: &mut Image) {
    // An invalid manifest is stored too. Reads of the image report the error.
    let _ = image_metadata::fill(image);
    if let Some(parts) = image_metadata::manifests_of_list(image) {
        image.docker_image_manifests = parts;
    }
    drop_unstored(image);
}

/// Resets computed fields to their stored values.
pub fn reset_fields(stored: &Image, image: &mut Image) {
    image.docker_image_metadata.clone_from(&stored.docker_image_metadata);
    image.docker_image_metadata_version.clone_from(&stored.docker_image_metadata_version);
    image.docker_image_layers.clone_from(&stored.docker_image_layers);
    image.evidence.clone_from(&stored.evidence);
    image.unknown_fields.clone_from(&stored.unknown_fields);
}

/// Prepares the update of the `stored` image.
///
/// Computed fields keep their stored values. A missing manifest or configuration may be added if it
/// matches its digest; any other change of them is silently reverted. Afterwards the metadata is
/// computed as far as possible.
pub fn prepare_for_update(image: &mut Image, stored: &Image) {
    reset_fields(stored, image);
    if !stored.docker_image_signatures.is_empty() {
        image.docker_image_signatures.clone_from(&stored.docker_image_signatures);
    }
    if image.docker_image_manifest != stored.docker_image_manifest
        && !may_have_manifest(image, stored)
    {
        image.docker_image_manifest.clone_from(&stored.docker_image_manifest);
    }
    if image.docker_image_config != stored.docker_image_config && !may_have_config(image) {
        image.docker_image_config.clone_from(&stored.docker_image_config);
    }
    // As for new images, reads report the error.
    let _ = image_metadata::fill(image);
    drop_unstored(image);
}

/// Drops fields that are not stored: manifest and configuration if a registry stores them, and
/// annotations of controllers on signatures.
pub fn drop_unstored(image: &mut Image) {
    if is_kept_by_registry(image) {
        image.docker_image_manifest.clear();
        image.docker_image_config.clear();
    }
    for signature in &mut image.signatures {
        signature.metadata.annotations.remove(MANAGED_SIGNATURE);
    }
}

/// Returns true if a registry stores manifest and configuration.
pub(super) fn is_kept_by_registry(image: &Image) -> bool {
    image.metadata.annotations.get(BLOB_STORED).is_some_and(|value| value == "true")
}

/// Returns true if the manifest of `image` is missing or matches the name. The stored media type
/// determines the payload.
fn may_have_manifest(image: &Image, stored: &Image) -> bool {
    let text = &image.docker_image_manifest;
    if text.is_empty() {
        return true;
    }
    let payload = match stored.docker_image_manifest_media_type.as_str() {
        manifest::SCHEMA2 | manifest::OCI_MANIFEST => Some(text.clone().into_bytes()),
        manifest::SCHEMA1 | "" => signed_manifest::payload(text),
        _ => None,
    };
    Manifest::read(text).is_ok()
        && payload.is_some_and(|payload| is_content_of(&image.metadata.name, &payload))
}

/// Returns true if the configuration of `image` is missing or matches the digest in the manifest.
fn may_have_config(image: &Image) -> bool {
    let text = &image.docker_image_config;
    text.is_empty()
        || manifest::has_config(&image.docker_image_manifest_media_type)
            && Manifest::read(&image.docker_image_manifest)
                .is_ok_and(|manifest| is_content_of(&manifest.config.digest, text.as_bytes()))
}

fn is_content_of(name: &str, content: &[u8]) -> bool {
    name.parse::<Digest>().is_ok_and(|digest| digest.digest_of(content) == digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{ImageManifest, ImageSignature},
        domain::manifest,
    };

    #[test]
    fn invalid_manifest_is_stored_unchanged() {
        let mut image = Image { docker_image_manifest: "{oops".into(), ..Image::default() };
        let before = image.clone();
        prepare_for_create(&mut image);
        assert_eq!(image, before);
    }

    #[test]
    fn parts_are_read_from_the_manifest_list() {
        let sent = vec![ImageManifest::default()];
        let list = |text: &str| Image {
            docker_image_manifest: text.into(),
            docker_image_manifest_media_type: manifest::DOCKER_LIST.into(),
            docker_image_manifests: sent.clone(),
            ..Image::default()
        };
        let mut image = list(r#"{"manifests":[{"digest":"d"}]}"#);
        prepare_for_create(&mut image);
        assert_eq!(image.docker_image_manifests[0].digest, "d");
        let mut broken = list("{");
        prepare_for_create(&mut broken);
        assert_eq!(broken.docker_image_manifests, sent);
    }

    #[test]
    fn content_stored_by_a_registry_is_dropped() {
        let kept = |value: &str| {
            let mut image = Image { docker_image_config: "c".into(), ..Image::default() };
            image.metadata.annotations.insert(BLOB_STORED.into(), value.into());
            prepare_for_create(&mut image);
            image.docker_image_config
        };
        assert_eq!((kept("true").as_str(), kept("false").as_str()), ("", "c"));
    }

    #[test]
    fn controller_annotation_of_signatures_is_dropped() {
        let mut signature = ImageSignature::default();
        signature.metadata.annotations =
            [MANAGED_SIGNATURE, "other"].map(|key| (key.into(), "true".into())).into();
        let mut image = Image { signatures: vec![signature], ..Image::default() };
        prepare_for_create(&mut image);
        assert_eq!(image.signatures[0].metadata.annotations.keys().collect::<Vec<_>>(), ["other"]);
    }

    /// An image with manifest and configuration, named by its digest.
    fn whole() -> Image {
        let config = r#"{"architecture":"amd64"}"#;
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}"}}}}"#,
            Digest::sha256_of(config)
        );
        let mut image = Image {
            docker_image_manifest_media_type: manifest::SCHEMA2.into(),
            docker_image_config: config.into(),
            ..Image::default()
        };
        image.metadata.name = Digest::sha256_of(&text).to_string();
        image.docker_image_manifest = text;
        image
    }

    fn bare() -> Image {
        Image {
            docker_image_manifest: String::new(),
            docker_image_config: String::new(),
            ..whole()
        }
    }

    fn changed(mut image: Image, stored: &Image) -> (bool, bool) {
        prepare_for_update(&mut image, stored);
        let whole = whole();
        let (manifest, config) = (&image.docker_image_manifest, &image.docker_image_config);
        (*manifest == whole.docker_image_manifest, *config == whole.docker_image_config)
    }

    #[test]
    fn manifest_and_config_may_be_added_and_fill_metadata() {
        let mut image = whole();
        prepare_for_update(&mut image, &bare());
        assert_eq!(image.docker_image_metadata.image().architecture, "amd64");
        assert_eq!(changed(whole(), &bare()), (true, true));
    }

    #[test]
    fn manifest_and_config_may_be_removed() {
        assert_eq!(changed(bare(), &whole()), (false, false));
    }

    #[test]
    fn mismatched_content_is_reverted() {
        let other = Image {
            docker_image_manifest: "{}".into(),
            docker_image_config: "{}".into(),
            ..whole()
        };
        assert_eq!(changed(other, &whole()), (true, true));
        let list =
            Image { docker_image_manifest_media_type: manifest::DOCKER_LIST.into(), ..bare() };
        assert_eq!(changed(whole(), &list), (false, false));
    }

    #[test]
    fn computed_fields_cannot_be_changed() {
        let mut stored = bare();
        stored.docker_image_metadata.image_mut().size = 7;
        let mut image = bare();
        image.docker_image_layers.push(crate::api::ImageLayer::default());
        prepare_for_update(&mut image, &stored);
        assert_eq!(image, stored);
    }
}
