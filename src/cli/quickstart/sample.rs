//! The sample stream: images that a standard tool made (`images/make.sh`), pushed as a registry would push them.

use std::sync::Arc;

use anyhow::{Context, bail};
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::api::{Image, ImageStream, ImageStreamMapping};
use crate::auth::Authorizer;
use crate::cluster::{Namespaces, Secrets};
use crate::domain::digest::Digest;
use crate::domain::manifest;
use crate::endpoints::serve::{Api, Request};
use crate::endpoints::target::Target;
use crate::machinery::json;
use crate::machinery::query::Query;
use crate::meta::{ObjectMeta, Time};
use crate::registry::permission::Permissions;
use crate::registry::pool::Workload;
use crate::resources::{self, Catalog};

/// The namespace of the sample.
pub(super) const NAMESPACE: &str = "samples";
/// The name of the sample stream.
pub(super) const STREAM: &str = "hello";

/// One image of the sample.
struct Sample {
    repository: &'static str,
    media_type: &'static str,
    manifest: &'static str,
    config: &'static str,
    /// The tag that the image becomes; none for the parts of an index, which only need to exist.
    tag: Option<&'static str>,
}

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("images/", $name))
    };
}

/// Oldest first, so that the tag `latest` has a history; the parts of the index come before it.
const SAMPLES: [Sample; 6] = [
    Sample {
        repository: "hello",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("hello-1.0/manifest.json"),
        config: file!("hello-1.0/config.json"),
        tag: Some("latest"),
    },
    Sample {
        repository: "hello",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("hello-1.1/manifest.json"),
        config: file!("hello-1.1/config.json"),
        tag: Some("latest"),
    },
    Sample {
        repository: "legacy",
        media_type: manifest::SCHEMA2,
        manifest: file!("legacy/manifest.json"),
        config: file!("legacy/config.json"),
        tag: Some("legacy"),
    },
    Sample {
        repository: "multi",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("multi/linux-amd64/manifest.json"),
        config: file!("multi/linux-amd64/config.json"),
        tag: None,
    },
    Sample {
        repository: "multi",
        media_type: manifest::OCI_MANIFEST,
        manifest: file!("multi/linux-arm64/manifest.json"),
        config: file!("multi/linux-arm64/config.json"),
        tag: None,
    },
    Sample {
        repository: "multi",
        media_type: manifest::OCI_INDEX,
        manifest: file!("multi/index.json"),
        config: "",
        tag: Some("multi"),
    },
];

impl Sample {
    fn digest(&self) -> String {
        Digest::sha256_of(self.manifest).as_str().to_owned()
    }

    fn image(&self) -> Image {
        let digest = self.digest();
        Image {
            docker_image_reference: format!("registry.example.com/samples/{}@{digest}", self.repository),
            metadata: ObjectMeta { name: digest, ..ObjectMeta::default() },
            docker_image_metadata_version: "1.0".into(),
            docker_image_manifest_media_type: self.media_type.into(),
            docker_image_manifest: self.manifest.into(),
            docker_image_config: self.config.into(),
            ..Image::default()
        }
    }
}

/// Digest of the image that the tag `latest` is now.
pub(super) fn current() -> String {
    SAMPLES[1].digest()
}

/// Digest of the image that the tag `latest` was before.
pub(super) fn previous() -> String {
    SAMPLES[0].digest()
}

/// Loads what of the sample is not there yet. What the stream has in its history was loaded before, and its tag may have
/// moved on.
///
/// # Errors
/// Whatever the resources refuse.
pub(super) async fn load(catalog: &Arc<Catalog>) -> anyhow::Result<()> {
    let api = resources::all(
        catalog,
        Namespaces::all(),
        Secrets::none(),
        Permissions::new(Arc::new(Authorizer::AlwaysAllow)),
    );
    let mut stream = ImageStream::default();
    stream.metadata.name = STREAM.into();
    stream
        .metadata
        .annotations
        .insert("description".into(), "A sample: images for one and for several platforms".into());
    create(&api, "imagestreams", Some(NAMESPACE), &stream).await.context("the sample stream cannot be made")?;
    let view = catalog
        .stream_view(&Workload::default(), NAMESPACE, STREAM)
        .await
        .context("the sample stream cannot be read")?;
    let view = view.context("the sample stream is gone again")?;
    for sample in &SAMPLES {
        let image = sample.image();
        let made = match sample.tag {
            _ if view.history.names().any(|name| name == image.metadata.name) => Ok(()),
            None => create(&api, "images", None, &image).await,
            Some(tag) => {
                let mut mapping = ImageStreamMapping { image, tag: tag.into(), ..ImageStreamMapping::default() };
                mapping.metadata.name = STREAM.into();
                create(&api, "imagestreammappings", Some(NAMESPACE), &mapping).await
            }
        };
        made.with_context(|| format!("the sample image {} cannot be loaded", sample.digest()))?;
    }
    Ok(())
}

/// Makes an object as a client would; one that is there already is as good.
async fn create<T: Serialize>(api: &Api, resource: &str, namespace: Option<&str>, object: &T) -> anyhow::Result<()> {
    let headers = HeaderMap::new();
    let reply = api.serve(Request {
        user: Arc::default(),
        method: &Method::POST,
        headers: &headers,
        target: Target { namespace: namespace.map(str::to_owned), resource: resource.into(), ..Target::default() },
        query: Query::default(),
        body: json::encode(object).into(),
        now: Time::now(),
    });
    let reply = reply.await;
    match reply.code {
        201 | 409 => Ok(()),
        code => bail!("{code}: {:?} {}", reply.body, reply.hidden.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_digest_that_a_manifest_names_is_that_of_a_file() {
        let all: Vec<String> = SAMPLES.iter().map(Sample::digest).collect();
        for sample in &SAMPLES {
            let manifest: Value = serde_json::from_str(sample.manifest).unwrap();
            assert_eq!(manifest["mediaType"], sample.media_type);
            match manifest["manifests"].as_array() {
                Some(parts) => {
                    assert!(parts.iter().all(|part| all.contains(&part["digest"].as_str().unwrap().to_owned())))
                }
                None => assert_eq!(manifest["config"]["digest"], Digest::sha256_of(sample.config).as_str()),
            }
        }
    }
}
