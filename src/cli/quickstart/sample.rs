//! Sample stream with images from `images/make.sh`, pushed as a registry does.

use anyhow::Context;

use crate::api::{Image, ImageStream, ImageStreamMapping};
use crate::domain::digest::Digest;
use crate::domain::manifest;
use crate::domain::stream_index::StreamIndex;
use crate::meta::{ObjectMeta, Status};
use crate::resources::Client;

/// Namespace of the sample.
pub(super) const NAMESPACE: &str = "samples";
/// Registry of the sample. It does not exist.
pub(super) const REGISTRY: &str = "registry.example.com";
/// Name of the sample stream.
pub(super) const STREAM: &str = "hello";

/// Mapping that adds an image to the stream, as a registry does after a push.
pub(super) const MAPPING: &str = "\
apiVersion: image.openshift.io/v1
kind: ImageStreamMapping
metadata:
  name: hello
tag: mine
image:
  metadata:
    name: sha256:0000000000000000000000000000000000000000000000000000000000000001
  dockerImageReference: registry.example.com/samples/mine:1
";

/// Image of the sample.
struct SampleImage {
    repository: &'static str,
    media_type: &'static str,
    manifest: &'static str,
    config: &'static str,
    /// Tag of the image; `None` for the platform images of an index, which only need to exist.
    tag: Option<&'static str>,
}

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("images/", $name))
    };
}

/// Images from oldest to newest, so that the tag `latest` has a history. The platform images of
/// the index come before it.
const SAMPLES: [SampleImage; 6] = [
    SampleImage {
        repository: "hello",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("hello-1.0/manifest.json"),
        config: file!("hello-1.0/config.json"),
        tag: Some("latest"),
    },
    SampleImage {
        repository: "hello",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("hello-1.1/manifest.json"),
        config: file!("hello-1.1/config.json"),
        tag: Some("latest"),
    },
    SampleImage {
        repository: "legacy",
        media_type: manifest::SCHEMA2,
        manifest: file!("legacy/manifest.json"),
        config: file!("legacy/config.json"),
        tag: Some("legacy"),
    },
    SampleImage {
        repository: "multi",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("multi/linux-amd64/manifest.json"),
        config: file!("multi/linux-amd64/config.json"),
        tag: None,
    },
    SampleImage {
        repository: "multi",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("multi/linux-arm64/manifest.json"),
        config: file!("multi/linux-arm64/config.json"),
        tag: None,
    },
    SampleImage {
        repository: "multi",
        media_type: manifest::OCI_INDEX,
        manifest: file!("multi/index.json"),
        config: "",
        tag: Some("multi"),
    },
];

impl SampleImage {
    fn digest(&self) -> String {
        Digest::sha256_of(self.manifest).as_str().to_owned()
    }

    fn image(&self) -> Image {
        let digest = self.digest();
        Image {
            docker_image_reference: format!("{REGISTRY}/{NAMESPACE}/{}@{digest}", self.repository),
            metadata: ObjectMeta { name: digest, ..ObjectMeta::default() },
            docker_image_metadata_version: "1.0".into(),
            docker_image_manifest_media_type: self.media_type.into(),
            docker_image_manifest: self.manifest.into(),
            docker_image_config: self.config.into(),
            ..Image::default()
        }
    }
}

/// Digest of the current image of the tag `latest`.
pub(super) fn current() -> String {
    SAMPLES[1].digest()
}

/// Digest of the previous image of the tag `latest`.
pub(super) fn previous() -> String {
    SAMPLES[0].digest()
}

/// Creates the missing objects of the sample. An image in the history of the stream is not pushed
/// again: its tag may have changed since.
///
/// # Errors
/// Rejected writes and failures of the store.
pub(super) async fn load(client: &Client) -> anyhow::Result<()> {
    let (images, streams) = (client.images(), client.image_streams(NAMESPACE));
    let created = streams.create(stream()).await;
    created.or_else(keep_existing).context("cannot create the sample stream")?;
    let existing = streams.get(STREAM).await.context("cannot read the sample stream")?;
    let history = StreamIndex::of(&existing.context("the sample stream was deleted")?);
    for sample in &SAMPLES {
        let image = sample.image();
        if history.contains(&image.metadata.name) {
            continue;
        }
        let created = match sample.tag {
            None => images.create(image).await,
            Some(tag) => {
                let mut mapping =
                    ImageStreamMapping { image, tag: tag.into(), ..ImageStreamMapping::default() };
                mapping.metadata.name = STREAM.into();
                client.create_mapping(NAMESPACE, mapping).await
            }
        };
        let created = created.or_else(keep_existing);
        created.with_context(|| format!("cannot create the sample image {}", sample.digest()))?;
    }
    Ok(())
}

/// Accepts an existing object.
fn keep_existing(status: Status) -> Result<(), Status> {
    if status.reason == "AlreadyExists" { Ok(()) } else { Err(status) }
}

fn stream() -> ImageStream {
    let mut stream = ImageStream::default();
    stream.metadata.name = STREAM.into();
    let description = "Sample images for one and for several platforms".to_owned();
    stream.metadata.annotations.insert("description".into(), description);
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_digest_of_a_manifest_belongs_to_a_file() {
        let all: Vec<String> = SAMPLES.iter().map(SampleImage::digest).collect();
        for sample in &SAMPLES {
            let manifest: Value = serde_json::from_str(sample.manifest).unwrap();
            assert_eq!(manifest["mediaType"], sample.media_type);
            match manifest["manifests"].as_array() {
                Some(parts) => {
                    assert!(
                        parts
                            .iter()
                            .all(|part| all.contains(&part["digest"].as_str().unwrap().to_owned()))
                    )
                }
                None => assert_eq!(
                    manifest["config"]["digest"],
                    Digest::sha256_of(sample.config).as_str()
                ),
            }
        }
    }
}
