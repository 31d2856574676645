//! Content of an honest registry: repositories with tags, manifests and configurations.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Response, header};
use serde_json::json;

use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::domain::manifest::OCI_MANIFEST;

use super::server::{Answer, ReceivedRequest};

/// An image: a manifest with its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest: String,
    pub(crate) config: String,
    pub(crate) digest: Digest,
    pub(crate) config_digest: Digest,
    pub(crate) media_type: &'static str,
}

/// Repositories by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    repositories: BTreeMap<String, BTreeMap<String, Image>>,
}

impl Image {
    /// An image that differs from those of other names.
    pub(crate) fn named(name: &str) -> Self {
        let config = json!({"architecture": "amd64", "os": "linux", "author": name}).to_string();
        let config_digest = Digest::sha256_of(&config);
        let layer = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": Digest::sha256_of(name).as_str(),
            "size": name.len(),
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest.as_str(),
                "size": config.len(),
            },
            "layers": [layer],
        })
        .to_string();
        let digest = Digest::sha256_of(&manifest);
        Self { manifest, config, digest, config_digest, media_type: OCI_MANIFEST }
    }
}

impl Content {
    /// Adds an image under a tag.
    pub(crate) fn with(mut self, repository: &str, tag: &str, image: Image) -> Self {
        self.repositories.entry(repository.into()).or_default().insert(tag.into(), image);
        self
    }

    /// The response of an honest registry without authentication.
    pub(crate) fn answer(&self, request: &ReceivedRequest) -> Answer {
        let path = request.path();
        if path == "/v2/" {
            return answer(200, &[], "{}");
        }
        let rest = path.strip_prefix("/v2/").unwrap_or_default();
        let found = self.repositories.iter().find_map(|(repository, tags)| {
            let rest = rest.strip_prefix(repository.as_str())?.strip_prefix('/')?;
            Some(repository_answer(repository, tags, rest))
        });
        found.unwrap_or_else(|| {
            json_error(404, "NAME_UNKNOWN", "repository name not known to registry")
        })
    }
}

fn repository_answer(repository: &str, tags: &BTreeMap<String, Image>, rest: &str) -> Answer {
    if rest == "tags/list" {
        let tags: Vec<&String> = tags.keys().collect();
        return answer(200, &[], json!({"name": repository, "tags": tags}).to_string());
    }
    if let Some(reference) = rest.strip_prefix("manifests/") {
        let by_digest = || tags.values().find(|image| image.digest.as_str() == reference);
        return match tags.get(reference).or_else(by_digest) {
            Some(image) => {
                let content_type = ("content-type", image.media_type);
                let claimed = ("docker-content-digest", image.digest.as_str());
                answer(200, &[content_type, claimed], image.manifest.clone())
            }
            None => json_error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        };
    }
    let digest = rest.strip_prefix("blobs/").unwrap_or_default();
    match tags.values().find(|image| image.config_digest.as_str() == digest) {
        Some(image) => answer(200, &[], image.config.clone()),
        None => json_error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
    }
}

/// A manifest, with the digest that the server claims.
pub(crate) fn manifest_answer(manifest: &str, digest: Option<&Digest>) -> Answer {
    let content_type = ("content-type", OCI_MANIFEST);
    match digest {
        None => answer(200, &[content_type], manifest.to_owned()),
        Some(digest) => {
            let claimed = ("docker-content-digest", digest.as_str());
            answer(200, &[content_type, claimed], manifest.to_owned())
        }
    }
}

/// A response with headers.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    Some(builder.body(body.into()).expect("the headers are valid"))
}

/// An error in the format of registries.
pub(crate) fn json_error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    answer(status, &[(header::CONTENT_TYPE.as_str(), "application/json")], body)
}
