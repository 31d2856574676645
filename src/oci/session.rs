//! `PullSession`: the requests of one import.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::client_state::ClientState;
use super::credential::Credential;
use super::endpoint::{ApiRequest, ApiTarget, RegistryEndpoint};
use super::error::RegistryError;
use super::keyring::Keyring;
use super::limits::{
    MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, MAX_TAG_PAGE_BYTES, MAX_TAG_PAGES, MAX_TAGS, MAX_VALUES,
};
use super::manifest::{CONTENT_DIGEST, FetchedManifest, PullSource};
use super::repository::{ManifestReference, Repository};
use super::request_sender::RequestSender;
use super::response_error::ErrorCode;
use super::tags::{TagPages, next_page};
use super::transport::RegistryResponse;
use super::trust::Security;
use crate::domain::digest::{Digest, case_remedy};

/// Media types of manifests, in the order of preference.
const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.v1+prettyjws, application/json",
);

/// One import. It remembers challenges and tokens of its credentials, and failed connections.
///
/// All methods may be called concurrently.
pub struct PullSession {
    state: Arc<ClientState>,
    keyring: Keyring,
    endpoints: Mutex<HashMap<EndpointKey, EndpointCell>>,
}

/// Registry, credential and verification.
type EndpointKey = (String, Option<Credential>, Security);
/// A connection, or the reason why there is none.
type EndpointCell = Arc<OnceCell<Result<Arc<RegistryEndpoint>, RegistryError>>>;

impl PullSession {
    pub(super) fn new(state: Arc<ClientState>, keyring: Keyring) -> Self {
        Self { state, keyring, endpoints: Mutex::default() }
    }

    /// Gets a manifest from the mirrors of a repository or from the repository itself.
    ///
    /// # Errors
    /// The error of the only source, or [`RegistryError::AllSources`].
    pub async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
        security: Security,
    ) -> Result<FetchedManifest, RegistryError> {
        let sources = self.sources(repository, Some(reference), security)?;
        first_success(sources, |source| self.manifest_of(source, reference)).await
    }

    /// Gets the digest of a tag, without the manifest if the registry sends the digest.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn head(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
        security: Security,
    ) -> Result<Digest, RegistryError> {
        let sources = self.sources(repository, Some(reference), security)?;
        first_success(sources, |source| self.digest_of(source, reference)).await
    }

    /// Lists the tags of a repository in the order of the registry. Names are not checked.
    ///
    /// # Errors
    /// As [`Self::manifest`]. A list beyond the limits is an error.
    pub async fn tags(
        &self,
        repository: &Repository,
        security: Security,
    ) -> Result<Vec<String>, RegistryError> {
        let sources = self.sources(repository, None, security)?;
        first_success(sources, |source| self.tags_of(source)).await
    }

    /// Gets the configuration of an image from the source of its manifest.
    ///
    /// # Errors
    /// An unknown blob, one larger than [`MAX_CONFIG_BYTES`], or one that does not match its
    /// digest.
    pub async fn blob(&self, source: &PullSource, digest: &Digest) -> Result<Bytes, RegistryError> {
        let incoming = self.blob_response(source, digest, Method::GET).await?;
        let bytes = incoming.read_json("blob", MAX_CONFIG_BYTES, MAX_VALUES).await?;
        let actual = digest.digest_of(&bytes);
        match actual == *digest {
            true => Ok(bytes),
            false => Err(RegistryError::Integrity(format!(
                "the blob retrieved with digest {digest} does not match the digest calculated \
                 from the content {actual}{}",
                case_remedy(digest.as_str(), actual.as_str())
            ))),
        }
    }

    /// Gets the size of a layer in bytes, for manifests without sizes. None if the registry does
    /// not send it.
    ///
    /// # Errors
    /// An unknown blob.
    pub async fn blob_size(
        &self,
        source: &PullSource,
        digest: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        let incoming = self.blob_response(source, digest, Method::HEAD).await?;
        let length = incoming.headers().get(http::header::CONTENT_LENGTH);
        Ok(length.and_then(|value| value.to_str().ok()?.parse().ok()))
    }

    /// Returns the namespace of the import; empty for one of the server.
    pub fn namespace(&self) -> &str {
        self.keyring.namespace()
    }

    /// Returns the name of the credential for a repository, such as `secret "pull", entry "r.io"`;
    /// `anonymous` without one.
    pub fn credential_name(&self, repository: &Repository) -> String {
        match self.keyring.find(repository) {
            Ok(Some(credential)) => credential.name(),
            Ok(None) => "anonymous".to_owned(),
            Err(error) => format!("{}, entry {:?}", error.source_name, error.key),
        }
    }

    /// The sources of an image in the order in which they are tried.
    fn sources(
        &self,
        repository: &Repository,
        reference: Option<&ManifestReference>,
        security: Security,
    ) -> Result<Vec<PullSource>, RegistryError> {
        let sources = self.state.rules.sources(repository, reference, security);
        let blocked = || RegistryError::BlockedRegistry(repository.registry().to_owned());
        let sources = sources.ok_or_else(blocked)?;
        match sources.is_empty() {
            true => Err(RegistryError::Content(format!(
                "--registries-config has no valid location for {repository}"
            ))),
            false => Ok(sources),
        }
    }

    async fn manifest_of(
        &self,
        source: PullSource,
        reference: &ManifestReference,
    ) -> Result<FetchedManifest, RegistryError> {
        let incoming = self.manifest_response(&source, reference, Method::GET).await?;
        let headers = incoming.headers().clone();
        let bytes = incoming.read_json("manifest", MAX_MANIFEST_BYTES, MAX_VALUES).await?;
        FetchedManifest::new(&headers, bytes, reference, source)
    }

    async fn digest_of(
        &self,
        source: PullSource,
        reference: &ManifestReference,
    ) -> Result<Digest, RegistryError> {
        let digest = match self.manifest_response(&source, reference, Method::HEAD).await {
            Ok(incoming) => {
                let value = incoming.headers().get(CONTENT_DIGEST);
                value.and_then(|value| value.to_str().ok()?.parse().ok())
            }
            Err(error) if lacks_head(&error) => None,
            Err(error) => return Err(error),
        };
        match digest {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest_of(source, reference).await?.digest),
        }
    }

    async fn tags_of(&self, source: PullSource) -> Result<Vec<String>, RegistryError> {
        let endpoint = self.endpoint(&source).await?;
        let mut pages = TagPages::default();
        let mut target = ApiTarget::Path("tags/list");
        for _ in 0..MAX_TAG_PAGES {
            let request = ApiRequest {
                method: Method::GET,
                repository: source.repository.path(),
                target,
                accept: None,
                absent: ErrorCode::NAME_UNKNOWN,
            };
            let incoming = endpoint.send(request).await?;
            let next = next_page(incoming.headers(), incoming.url())?;
            // The object and its other fields are values too.
            let page = incoming.read_json("tag list", MAX_TAG_PAGE_BYTES, MAX_TAGS + 10).await?;
            pages.add(&page)?;
            match next {
                Some(next) => target = ApiTarget::Url(next),
                None => return Ok(pages.into_tags()),
            }
        }
        Err(RegistryError::TooLarge { what: "tag list", limit: MAX_TAG_PAGES, unit: "pages" })
    }

    async fn manifest_response(
        &self,
        source: &PullSource,
        reference: &ManifestReference,
        method: Method,
    ) -> Result<RegistryResponse, RegistryError> {
        let endpoint = self.endpoint(source).await?;
        let request = ApiRequest {
            method,
            repository: source.repository.path(),
            target: ApiTarget::Path(&format!("manifests/{}", reference.as_str())),
            accept: Some(ACCEPT),
            absent: ErrorCode::MANIFEST_UNKNOWN,
        };
        endpoint.send(request).await
    }

    async fn blob_response(
        &self,
        source: &PullSource,
        digest: &Digest,
        method: Method,
    ) -> Result<RegistryResponse, RegistryError> {
        let endpoint = self.endpoint(source).await?;
        let request = ApiRequest {
            method,
            repository: source.repository.path(),
            target: ApiTarget::Path(&format!("blobs/{digest}")),
            accept: None,
            absent: ErrorCode::BLOB_UNKNOWN,
        };
        endpoint.send(request).await.map_err(|error| match error.status() {
            Some(StatusCode::NOT_FOUND) => RegistryError::Content("unknown blob".into()),
            _ => error,
        })
    }

    /// The endpoint of a source, which is connected once.
    async fn endpoint(&self, source: &PullSource) -> Result<Arc<RegistryEndpoint>, RegistryError> {
        let PullSource { repository, security } = source;
        let credential = self.keyring.find(repository)?;
        let server = repository.server();
        let key = (server.to_owned(), credential.clone(), *security);
        let cell = self.endpoints.lock().entry(key).or_default().clone();
        let connect = || async {
            let namespace = self.keyring.namespace().clone();
            let sender = RequestSender { namespace, credential };
            let state = self.state.clone();
            RegistryEndpoint::connect(state, server, sender, *security).await.map(Arc::new)
        };
        cell.get_or_init(connect).await.clone()
    }
}

/// Returns true if the registry may serve GET although it does not serve HEAD.
fn lacks_head(error: &RegistryError) -> bool {
    let statuses =
        [StatusCode::BAD_REQUEST, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
    error.status().is_some_and(|status| statuses.contains(&status))
}

/// The result of the first source that succeeds.
async fn first_success<T, F: Future<Output = Result<T, RegistryError>>>(
    sources: Vec<PullSource>,
    fetch: impl Fn(PullSource) -> F,
) -> Result<T, RegistryError> {
    let mut errors = Vec::new();
    for source in sources {
        let repository = source.repository.clone();
        match fetch(source).await {
            Ok(found) => return Ok(found),
            Err(error) => errors.push((repository, error)),
        }
    }
    match errors.len() {
        1 => Err(errors.remove(0).1),
        _ => Err(RegistryError::AllSources(errors.into())),
    }
}
