//! Images of fetched manifests, as `pkg/image/apiserver/importer/image.go` in openshift-apiserver.

use std::collections::HashMap;

use super::failure::ImportFailure;
use crate::api::{DockerImageMetadata, Image, ImageManifest};
use crate::domain::digest::Digest;
use crate::domain::image_metadata::{self, FillError};
use crate::domain::manifest::{Manifest, ManifestList};
use crate::domain::proof;
use crate::domain::reference::Reference;
use crate::meta::Time;

/// Manifest that a registry sent, with its configuration. The digests are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestContent {
    /// Digest of the payload, by which clients pull the image.
    pub digest: String,
    /// SHA-256 digest of the payload, the name of the image.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Text of the manifest.
    pub text: String,
    /// Text of the configuration. Empty if the manifest has none.
    pub config: String,
}

/// Imported image or manifest list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportedImage {
    /// The image, with manifest, configuration and evidence.
    pub image: Image,
    /// Images of a manifest list.
    pub manifests: Vec<Image>,
    /// Digest of the manifest that the pull spec names. It may be a list that the image represents.
    pub source: String,
}

/// Returns the image that a manifest describes, in `repository`.
///
/// # Errors
/// The manifest or the configuration cannot be parsed.
pub fn image_of(
    fetched: ManifestContent,
    repository: &Reference,
    now: Time,
) -> Result<Image, ImportFailure> {
    let content = |text: String| ImportFailure::Content(text);
    let manifest = Manifest::read(&fetched.text).map_err(|why| content(why.to_string()))?;
    if manifest.schema_version() == 1 && manifest.history.is_empty() {
        let text = "image has no v1Compatibility history and cannot be used";
        return Err(content(text.into()));
    }
    let mut image = unfilled(fetched, repository, now);
    match image_metadata::fill(&mut image) {
        Ok(()) => Ok(image),
        Err(FillError::Config(_)) if is_artifact(&manifest) => {
            describe_artifact(&mut image, &manifest);
            Ok(image)
        }
        Err(why) => Err(content(why.to_string())),
    }
}

/// Returns true if the configuration is not that of a container image.
fn is_artifact(manifest: &Manifest) -> bool {
    const IMAGES: [&str; 3] = [
        "",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.oci.image.config.v1+json",
    ];
    !IMAGES.contains(&manifest.config.media_type.as_str())
}

/// Describes an artifact whose configuration has another format. Its layers are set already.
fn describe_artifact(image: &mut Image, manifest: &Manifest) {
    let layers = image.docker_image_layers.iter().map(|layer| layer.size);
    let config = i64::try_from(image.docker_image_config.len()).unwrap_or(i64::MAX);
    let size = layers.fold(config, i64::saturating_add);
    let metadata = image.docker_image_metadata.image_mut();
    metadata.id.clone_from(&manifest.config.digest);
    metadata.size = size;
}

/// Returns the image of a manifest list, without the images in it.
///
/// # Errors
/// The list cannot be parsed.
pub fn list_of(
    fetched: ManifestContent,
    repository: &Reference,
    now: Time,
) -> Result<Image, ImportFailure> {
    let list =
        ManifestList::read(&fetched.text).map_err(|why| ImportFailure::Content(why.to_string()))?;
    let mut image = unfilled(fetched, repository, now);
    image.docker_image_manifests = list.manifests.into_iter().map(ImageManifest::from).collect();
    let metadata = image.docker_image_metadata.image_mut();
    metadata.id.clone_from(&image.metadata.name);
    metadata.created = Some(now);
    Ok(image)
}

/// Maximum number of layers whose size a registry is asked for.
const MAX_MEASURED_LAYERS: usize = 200;

/// Returns the distinct layers of an image whose manifest has no sizes. Empty for all other images.
pub fn layers_to_measure(image: &Image) -> Vec<Digest> {
    let layers = &image.docker_image_layers;
    if image.docker_image_metadata.image().size != 0 || layers.len() > MAX_MEASURED_LAYERS {
        return Vec::new();
    }
    let mut digests: Vec<Digest> =
        layers.iter().filter_map(|layer| layer.name.parse().ok()).collect();
    digests.sort();
    digests.dedup();
    digests
}

/// Sets the sizes of layers, and the size of the image as their sum.
pub fn set_layer_sizes(image: &mut Image, sizes: &HashMap<String, i64>) {
    for layer in &mut image.docker_image_layers {
        layer.size = sizes.get(&layer.name).copied().unwrap_or_default();
    }
    let total = sizes.values().fold(0, |sum: i64, size| sum.saturating_add(*size));
    image.docker_image_metadata.image_mut().size = total;
}

/// Removes manifest and configuration. Registries keep them, so imported images are stored without.
pub fn drop_content(image: &mut Image) {
    image.docker_image_manifest.clear();
    image.docker_image_config.clear();
}

/// Returns an image with its content and evidence.
fn unfilled(fetched: ManifestContent, repository: &Reference, now: Time) -> Image {
    let ManifestContent { digest, name, media_type, text, config } = fetched;
    let reference = Reference { tag: String::new(), id: digest, ..repository.clone() };
    let mut image = Image {
        docker_image_reference: reference.exact(),
        docker_image_metadata_version: DockerImageMetadata::DEFAULT_VERSION.into(),
        docker_image_manifest_media_type: media_type,
        docker_image_manifest: text,
        docker_image_config: config,
        ..Image::default()
    };
    image.metadata.name = name;
    image.metadata.creation_timestamp = Some(now);
    image.evidence = proof::evidence_of(&image);
    image
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Proof;
    use crate::domain::manifest;

    const NOW: i64 = 7;

    fn fetched(media_type: &str, text: String, config: &str) -> ManifestContent {
        let digest = Digest::sha256_of(&text).to_string();
        let (name, media_type, config) = (digest.clone(), media_type.into(), config.into());
        ManifestContent { digest, name, media_type, text, config }
    }

    fn repository() -> Reference {
        "r.io/a".parse().unwrap()
    }

    fn now() -> Time {
        Time::from_unix_seconds(NOW)
    }

    fn schema2(config: &str) -> String {
        let digest = Digest::sha256_of(config).to_string();
        let layers = [json!({"mediaType": "l", "size": 3, "digest": "b"})];
        json!({"schemaVersion": 2, "mediaType": manifest::SCHEMA2,
            "config": {"digest": digest, "size": config.len()}, "layers": layers})
        .to_string()
    }

    #[test]
    fn image_is_described_and_proved_by_its_content() {
        let config = r#"{"architecture":"arm64"}"#;
        let sent = fetched(manifest::SCHEMA2, schema2(config), config);
        let name = sent.name.clone();
        let mut image = image_of(sent, &repository(), now()).unwrap();
        assert_eq!(image.docker_image_reference, format!("r.io/a@{name}"));
        assert_eq!(image.docker_image_metadata.image().architecture, "arm64");
        assert_eq!(image.docker_image_layers[0].name, "b");
        assert_eq!((image.evidence.proof, &image.evidence.blobs), (Proof::Full, &None));
        drop_content(&mut image);
        let texts = [&image.docker_image_manifest, &image.docker_image_config];
        assert_eq!(texts, ["", ""]);
    }

    #[test]
    fn list_has_its_parts_and_no_layers() {
        let entry = json!({"digest": "d", "size": 5, "mediaType": "m",
            "platform": {"architecture": "arm", "os": "linux", "variant": "v7"}});
        // An index may lack the media type in its content.
        let text = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        let sent = fetched(manifest::OCI_INDEX, text, "");
        let image = list_of(sent, &repository(), now()).unwrap();
        let part = &image.docker_image_manifests[0];
        assert_eq!(
            (part.digest.as_str(), part.manifest_size, part.variant.as_str()),
            ("d", 5, "v7")
        );
        assert_eq!(image.docker_image_metadata.image().id, image.metadata.name);
        assert_eq!(image.docker_image_metadata.image().created, Some(now()));
        assert!(image.docker_image_layers.is_empty() && image.metadata.annotations.is_empty());
        assert_eq!(image.evidence.proof, Proof::Full);
    }

    #[test]
    fn content_errors_have_their_texts() {
        let error = |media_type: &str, text: &str, config: &str| {
            let sent = fetched(media_type, text.into(), config);
            match image_of(sent, &repository(), now()).unwrap_err() {
                ImportFailure::Content(text) => text,
                other => panic!("{other:?}"),
            }
        };
        let config = "{bad";
        assert!(
            error(manifest::SCHEMA2, &schema2(config), config)
                .starts_with("failed to parse dockerImageConfig: invalid character 'b'")
        );
        let text = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        let expected = "image has no v1Compatibility history and cannot be used";
        assert_eq!(error(manifest::SCHEMA1, text, ""), expected);
        assert_eq!(error(manifest::SCHEMA2, "{", ""), "unexpected end of JSON input");
        let list = fetched(manifest::OCI_INDEX, "{".into(), "");
        assert!(list_of(list, &repository(), now()).is_err());
    }

    #[test]
    fn sizes_of_layers_are_asked_for_if_unknown() {
        let (a, b) = (Digest::sha256_of("a").to_string(), Digest::sha256_of("b").to_string());
        let layer = |digest: &str| json!({"blobSum": digest});
        let history = json!({"v1Compatibility": r#"{"id":"i"}"#});
        let text = json!({"schemaVersion": 1, "fsLayers": [layer(&a), layer(&b), layer(&a)],
            "history": vec![history; 3]});
        let sent = fetched(manifest::SCHEMA1, text.to_string(), "");
        let mut image = image_of(sent, &repository(), now()).unwrap();
        let asked: Vec<_> = layers_to_measure(&image).iter().map(ToString::to_string).collect();
        assert_eq!(asked.len(), 2);
        set_layer_sizes(&mut image, &[(a, 3), (b, 4)].into());
        let sizes: Vec<_> = image.docker_image_layers.iter().map(|layer| layer.size).collect();
        assert_eq!((sizes, image.docker_image_metadata.image().size), (vec![3, 4, 3], 7));
        assert!(layers_to_measure(&image).is_empty());
    }

    #[test]
    fn artifact_is_described_by_its_manifest_only() {
        let config = "no JSON";
        let mut manifest: serde_json::Value = serde_json::from_str(&schema2(config)).unwrap();
        manifest["config"]["mediaType"] = json!("application/vnd.example.config");
        let sent = fetched(manifest::SCHEMA2, manifest.to_string(), config);
        let image = image_of(sent, &repository(), now()).unwrap();
        let metadata = image.docker_image_metadata.image();
        assert_eq!(metadata.id, Digest::sha256_of(config).to_string());
        assert_eq!((metadata.architecture.as_str(), metadata.size), ("", 3 + 7));
        assert_eq!(image.docker_image_layers[0].name, "b");
        assert_eq!(image.docker_image_config, config);
    }

    #[test]
    fn pull_spec_has_the_digest_of_the_request() {
        let config = "{}";
        let mut sent = fetched(manifest::SCHEMA2, schema2(config), config);
        sent.digest = format!("sha512:{}", "a".repeat(128));
        let image = image_of(sent.clone(), &repository(), now()).unwrap();
        assert_eq!(image.docker_image_reference, format!("r.io/a@{}", sent.digest));
        assert_eq!(image.metadata.name, sent.name);
    }
}
