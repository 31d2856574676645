//! `FetchedManifest`: a manifest with a verified digest and a known type.
//!
//! The checks and their texts are those of github.com/distribution/distribution manifest/ and of
//! openshift-apiserver pkg/image/apiserver/importer.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::RegistryError;
use super::limits::cut;
use super::repository::{ManifestReference, Repository};
use super::trust::Security;
use crate::domain::digest::{Digest, case_remedy};
use crate::domain::manifest::{
    DOCKER_LIST, Manifest, OCI_INDEX, OCI_MANIFEST, SCHEMA1_SIGNED, SCHEMA2,
};
use crate::domain::signed_manifest;
use crate::machinery::media_type;

/// Header with the digest of a manifest.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest whose content matches its digest.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// The manifest, as the registry sent it.
    pub bytes: Bytes,
    /// One of the media types in [`crate::domain::manifest`]. Schema 1 is always
    /// [`SCHEMA1_SIGNED`].
    pub media_type: &'static str,
    /// SHA-256 digest of the content, for schema 1 of the content without signatures. It names the
    /// image, even one that was requested by a digest of another algorithm.
    pub digest: Digest,
    /// Origin of the manifest, and so of its configuration and layers.
    pub source: PullSource,
}

/// A repository that answered a request: the requested one or a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSource {
    /// Repository.
    pub repository: Repository,
    /// Verification of the registry.
    pub security: Security,
}

impl FetchedManifest {
    /// Checks a response to a request for `reference`.
    ///
    /// Difference: the reference implementation ignores `Docker-Content-Digest` of a tag and fails
    /// for any digest other than sha256.
    ///
    /// # Errors
    /// A malformed manifest, and one that does not match the requested digest or the one in the
    /// headers.
    pub(super) fn new(
        headers: &HeaderMap,
        bytes: Bytes,
        reference: &ManifestReference,
        source: PullSource,
    ) -> Result<Self, RegistryError> {
        let content_type = content_type(headers)?;
        let (media_type, payload) = parse(&content_type, &bytes)?;
        let signed: &[u8] = payload.as_deref().unwrap_or(&bytes);
        let claimed = headers.get(CONTENT_DIGEST).map(|value| {
            let digest = value.to_str().ok().and_then(|text| text.parse::<Digest>().ok());
            let text = "the header Docker-Content-Digest is not a digest";
            digest.ok_or_else(|| RegistryError::Content(text.into()))
        });
        let claimed = claimed.transpose()?;
        for expected in [reference.digest(), claimed.as_ref()].into_iter().flatten() {
            let actual = expected.digest_of(signed);
            if actual != *expected {
                return Err(RegistryError::Integrity(format!(
                    "the manifest retrieved with digest {expected} does not match the digest \
                     calculated from the content {actual}{}",
                    case_remedy(expected.as_str(), actual.as_str())
                )));
            }
        }
        let digest = Digest::sha256_of(signed);
        Ok(Self { bytes, media_type, digest, source })
    }
}

/// The media type of a response, in lower case. Empty if there is none.
fn content_type(headers: &HeaderMap) -> Result<String, RegistryError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(String::new()) };
    let parsed = value.to_str().ok().and_then(media_type::parse_content_type);
    parsed.ok_or_else(|| RegistryError::Content("mime: invalid media parameter".into()))
}

/// Returns the type of a manifest, and the signed payload of schema 1.
///
/// The header decides about the type, never the content: a manifest must not mean different things
/// to different clients. Every unknown type is schema 1.
fn parse(
    content_type: &str,
    bytes: &[u8],
) -> Result<(&'static str, Option<Vec<u8>>), RegistryError> {
    let known = [SCHEMA2, OCI_MANIFEST, DOCKER_LIST, OCI_INDEX];
    let Some(media_type) = known.into_iter().find(|known| *known == content_type) else {
        let text = std::str::from_utf8(bytes).map_err(|_| unmarshalling("invalid UTF-8"))?;
        Manifest::read(text).map_err(|error| unmarshalling(&error.to_string()))?;
        let payload = signed_manifest::payload(text)
            .ok_or_else(|| RegistryError::Content("missing signature key".into()))?;
        return match signed_manifest::is_signed_form(text, &payload) {
            true => Ok((SCHEMA1_SIGNED, Some(payload))),
            false => {
                let text = "the manifest differs from its signed payload";
                Err(RegistryError::Integrity(text.into()))
            }
        };
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| RegistryError::Content("the manifest is not UTF-8".into()))?;
    Manifest::read(text).map_err(|error| RegistryError::Content(error.to_string()))?;
    let shape: ManifestOutline<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let reason = format!("a field is repeated (line {line}, column {column})");
        RegistryError::Content(format!("the manifest is ambiguous: {reason}"))
    })?;
    shape.check_media_type(media_type)?;
    shape.check_kind(media_type)?;
    Ok((media_type, None))
}

fn unmarshalling(reason: &str) -> RegistryError {
    RegistryError::Content(format!("error unmarshalling content: {reason}"))
}

/// The fields that tell images and indexes apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestOutline<'a> {
    #[serde(borrow)]
    media_type: Option<Cow<'a, str>>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
}

impl ManifestOutline<'_> {
    fn check_media_type(&self, media_type: &str) -> Result<(), RegistryError> {
        let actual = self.media_type.as_deref().unwrap_or_default();
        let text = match media_type {
            _ if actual == media_type => return Ok(()),
            OCI_MANIFEST | OCI_INDEX if actual.is_empty() => return Ok(()),
            SCHEMA2 => "mediaType in manifest should be",
            DOCKER_LIST => "mediaType in manifest list should be",
            OCI_MANIFEST => "if present, mediaType in manifest should be",
            _ => "if present, mediaType in image index should be",
        };
        Err(RegistryError::Content(format!("{text} '{media_type}' not '{}'", cut(actual))))
    }

    /// Refuses content that is both image and index (CVE-2021-41190).
    fn check_kind(&self, media_type: &str) -> Result<(), RegistryError> {
        let text = match media_type {
            OCI_MANIFEST if self.manifests.is_some() => {
                "ocimanifest: expected manifest but found index"
            }
            OCI_INDEX if self.config.is_some() || self.layers.is_some() => {
                "index: expected index but found manifest"
            }
            _ => return Ok(()),
        };
        Err(RegistryError::Content(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fetched(
        content_type: &'static str,
        body: &str,
        reference: &ManifestReference,
        claimed: Option<&Digest>,
    ) -> Result<FetchedManifest, String> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(digest) = claimed {
            headers.insert(CONTENT_DIGEST, digest.as_str().parse().unwrap());
        }
        let repository = Repository::parse("r.io/a").unwrap();
        let source = PullSource { repository, security: Security::Verified };
        FetchedManifest::new(&headers, Bytes::from(body.to_owned()), reference, source)
            .map_err(|error| error.to_string())
    }

    fn tag() -> ManifestReference {
        ManifestReference::Tag("x".parse().unwrap())
    }

    #[test]
    fn malformed_manifests_have_the_texts_of_the_reference() {
        let oci = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
        for (content_type, body, expected) in [
            ("", "{}", "missing signature key"),
            ("application/json", r#"{"schemaVersion":1}"#, "missing signature key"),
            (
                "text/html",
                "<html>",
                "error unmarshalling content: invalid character '<' looking for beginning of value",
            ),
            ("application/json; charset", "{}", "mime: invalid media parameter"),
            (
                SCHEMA2,
                "{}",
                "mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' not ''",
            ),
            (
                SCHEMA2,
                oci,
                "mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' \
                 not 'application/vnd.oci.image.manifest.v1+json'",
            ),
            (OCI_MANIFEST, r#"{"manifests":[]}"#, "ocimanifest: expected manifest but found index"),
            (
                OCI_MANIFEST,
                r#"{"config":{},"config":{}}"#,
                "the manifest is ambiguous: a field is repeated (line 1, column 21)",
            ),
            (OCI_INDEX, r#"{"config":{}}"#, "index: expected index but found manifest"),
            (
                OCI_INDEX,
                oci,
                "if present, mediaType in image index should be \
                 'application/vnd.oci.image.index.v1+json' not 'application/vnd.oci.image.manifest.v1+json'",
            ),
        ] {
            assert_eq!(fetched(content_type, body, &tag(), None).unwrap_err(), expected);
        }
        let charset = "application/vnd.oci.image.manifest.v1+json; charset=utf-8";
        assert_eq!(fetched(charset, oci, &tag(), None).unwrap().media_type, OCI_MANIFEST);
    }

    #[test]
    fn digests_of_all_algorithms_are_verified() {
        let body = r#"{"schemaVersion":2}"#;
        let sha256 = Digest::sha256_of(body);
        let sha512: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        for digest in [sha256.clone(), sha512.digest_of(body)] {
            let manifest =
                fetched(OCI_MANIFEST, body, &ManifestReference::Digest(digest), None).unwrap();
            assert_eq!(manifest.digest, sha256);
        }
        let other = Digest::sha256_of("other");
        let expected = format!(
            "content integrity error: the manifest retrieved with digest {other} does not match \
             the digest calculated from the content {sha256}"
        );
        let by_digest = ManifestReference::Digest(other.clone());
        assert_eq!(fetched(OCI_MANIFEST, body, &by_digest, None).unwrap_err(), expected);
        assert_eq!(fetched(OCI_MANIFEST, body, &tag(), Some(&other)).unwrap_err(), expected);
        assert!(fetched(OCI_MANIFEST, body, &tag(), Some(&sha256)).is_ok());
    }

    #[test]
    fn schema1_is_named_by_its_payload() {
        let payload = "{\n \"schemaVersion\": 1\n}";
        let signed = signed_manifest::sign(payload);
        let digest = Digest::sha256_of(payload);
        let manifest = fetched("application/json", &signed, &tag(), Some(&digest)).unwrap();
        assert_eq!((manifest.media_type, manifest.digest), (SCHEMA1_SIGNED, digest));
    }
}
