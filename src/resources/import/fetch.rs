//! Fetching of images with bounded concurrency. It uses the network, never the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::failure::{FetchFailure, Subject};
use crate::api::Image;
use crate::domain::digest::Digest;
use crate::domain::import::{
    self, ImportFailure, ImportedImage, ListImportMode, ManifestContent, ManifestRequest,
    ManifestVersion, RegistryTransport, RepositoryRequest,
};
use crate::domain::manifest::{self, Manifest, ManifestDescriptor, ManifestList};
use crate::meta::Time;
use crate::oci::{
    FetchedManifest, InvalidName, ManifestReference, PullSession, PullSource, RegistryError,
    Repository, Security,
};

/// Maximum number of concurrent requests of an import.
const CONCURRENCY: usize = 16;
/// Maximum number of concurrent checks of an import. A registry may answer one with a manifest.
const CHECKS: usize = 4;
/// Maximum number of images of a manifest list that is imported with all its images.
const MAX_LIST_IMAGES: usize = 200;
/// Maximum size of the manifests and configurations of an import, in bytes.
const MAX_CONTENT_BYTES: usize = 32 << 20;

/// Result of a fetch.
pub(super) type FetchResult = Result<ImportedImage, FetchFailure>;

/// The requests of one import.
pub(super) struct Fetcher<'a> {
    session: &'a PullSession,
    requests: Semaphore,
    content_bytes: AtomicUsize,
    now: Time,
}

impl<'a> Fetcher<'a> {
    /// Starts an import at `now`.
    pub(super) fn new(session: &'a PullSession, now: Time) -> Self {
        let requests = Semaphore::new(CONCURRENCY);
        Self { session, requests, content_bytes: AtomicUsize::new(0), now }
    }

    /// Fetches images. The results are in the order of the requests.
    pub(super) async fn images(&self, requests: &[ManifestRequest]) -> Vec<FetchResult> {
        let fetches: Vec<_> = requests.iter().map(|request| self.image(request)).collect();
        stream::iter(fetches).buffered(CONCURRENCY).collect().await
    }

    /// Gets the digests of sources, in the order of the requests. Usually no manifest is fetched.
    pub(super) async fn digests(
        &self,
        requests: &[ManifestRequest],
    ) -> Vec<Result<Digest, FetchFailure>> {
        let heads: Vec<_> = requests.iter().map(|request| self.digest(request)).collect();
        stream::iter(heads).buffered(CHECKS).collect().await
    }

    async fn digest(&self, request: &ManifestRequest) -> Result<Digest, FetchFailure> {
        let failed =
            |error: RegistryError| FetchFailure::of(&error, Subject::Image, &request.repository);
        let repository =
            Repository::new(&request.repository).map_err(|error| failed(error.into()))?;
        let version = version_of(&request.version).map_err(failed)?;
        // Without a permit: such a request holds no content.
        self.session.head(&repository, &version, security(request.transport)).await.map_err(failed)
    }

    /// Lists the tags of a repository.
    ///
    /// # Errors
    /// The list cannot be fetched.
    pub(super) async fn tags(
        &self,
        request: &RepositoryRequest,
    ) -> Result<Vec<String>, FetchFailure> {
        let failed =
            |error: RegistryError| FetchFailure::of(&error, Subject::Tags, &request.repository);
        let repository =
            Repository::new(&request.repository).map_err(|error| failed(error.into()))?;
        let _permit = self.permit().await;
        self.session.tags(&repository, security(request.transport)).await.map_err(failed)
    }

    async fn image(&self, request: &ManifestRequest) -> FetchResult {
        let failed =
            |error: RegistryError| FetchFailure::of(&error, Subject::Image, &request.repository);
        let repository =
            Repository::new(&request.repository).map_err(|error| failed(error.into()))?;
        let version = version_of(&request.version).map_err(failed)?;
        let target = FetchTarget { request, repository: &repository };
        let top = self.manifest(target, &version).await?;
        let source = top.fetched.digest.to_string();
        if !manifest::is_list(top.fetched.media_type) {
            let image = self.described(target, top).await?;
            return Ok(ImportedImage { image, manifests: Vec::new(), source });
        }
        let list = top.list()?;
        match request.mode {
            ListImportMode::Legacy => {
                let image = self.representative(target, &list).await?;
                Ok(ImportedImage { image, manifests: Vec::new(), source })
            }
            ListImportMode::PreserveOriginal => {
                let manifests = self.parts(target, &list).await?;
                let content = top.content(String::new());
                let image = import::list_of(content, &request.repository, self.now)?;
                Ok(ImportedImage { image, manifests, source })
            }
        }
    }

    /// Fetches all images of a list.
    async fn parts(
        &self,
        target: FetchTarget<'_>,
        list: &ManifestList,
    ) -> Result<Vec<Image>, FetchFailure> {
        let count = list.manifests.len();
        if count > MAX_LIST_IMAGES {
            let text = format!(
                "the manifest list has {count} images, and an import takes at most \
                 {MAX_LIST_IMAGES}: import it in the mode Legacy, or single images by digest"
            );
            return Err(ImportFailure::Content(text).into());
        }
        let parts: Vec<_> = list.manifests.iter().map(|entry| self.part(target, entry)).collect();
        stream::iter(parts).buffered(CONCURRENCY).try_collect().await
    }

    /// Fetches an image of a list. A nested list is represented by one of its images.
    async fn part(
        &self,
        target: FetchTarget<'_>,
        entry: &ManifestDescriptor,
    ) -> Result<Image, FetchFailure> {
        let part = self.entry(target, entry).await?;
        match manifest::is_list(part.fetched.media_type) {
            true => self.representative(target, &part.list()?).await,
            false => self.described(target, part).await,
        }
    }

    /// Fetches the image of a list that stands for the list.
    async fn representative(
        &self,
        target: FetchTarget<'_>,
        list: &ManifestList,
    ) -> Result<Image, FetchFailure> {
        let chosen = import::choose(list, &target.request.platform)
            .ok_or_else(|| ImportFailure::Registry("no manifests in manifest list".into()))?;
        let part = self.entry(target, chosen).await?;
        if manifest::is_list(part.fetched.media_type) {
            let text = "unsupported image manifest type: a manifest list in a manifest list";
            return Err(ImportFailure::Content(text.into()).into());
        }
        self.described(target, part).await
    }

    async fn entry(
        &self,
        target: FetchTarget<'_>,
        entry: &ManifestDescriptor,
    ) -> Result<LoadedManifest, FetchFailure> {
        let digest = entry.digest.parse().map_err(|why| {
            ImportFailure::Registry(format!("the manifest list has an invalid digest: {why}"))
        })?;
        self.manifest(target, &ManifestReference::Digest(digest)).await
    }

    async fn manifest(
        &self,
        target: FetchTarget<'_>,
        version: &ManifestReference,
    ) -> Result<LoadedManifest, FetchFailure> {
        let permit = self.permit().await;
        let security = security(target.request.transport);
        let fetched = self.session.manifest(target.repository, version, security).await;
        drop(permit);
        let fetched = fetched.map_err(|error| target.failure(&error))?;
        let text = text_of(&fetched.bytes, "error unmarshalling content")?;
        self.charge(text.len())?;
        let digest = version.digest().unwrap_or(&fetched.digest).to_string();
        Ok(LoadedManifest { digest, text, fetched })
    }

    /// Fetches the configuration of a manifest, and describes the image.
    async fn described(
        &self,
        target: FetchTarget<'_>,
        part: LoadedManifest,
    ) -> Result<Image, FetchFailure> {
        let config = self.config(target, &part).await?;
        let source = part.fetched.source.clone();
        let mut image =
            import::image_of(part.content(config), &target.request.repository, self.now)?;
        let layers = import::layers_to_measure(&image);
        if !layers.is_empty() {
            let sizes = self.layer_sizes(target, &source, layers).await?;
            import::set_layer_sizes(&mut image, &sizes);
        }
        Ok(image)
    }

    /// Gets the sizes of layers, which schema 1 manifests may lack.
    async fn layer_sizes(
        &self,
        target: FetchTarget<'_>,
        source: &PullSource,
        layers: Vec<Digest>,
    ) -> Result<HashMap<String, i64>, FetchFailure> {
        let sizes: Vec<_> =
            layers.into_iter().map(|layer| self.layer_size(target, source, layer)).collect();
        stream::iter(sizes).buffered(CONCURRENCY).try_collect().await
    }

    async fn layer_size(
        &self,
        target: FetchTarget<'_>,
        source: &PullSource,
        digest: Digest,
    ) -> Result<(String, i64), FetchFailure> {
        let _permit = self.permit().await;
        let size = self.session.blob_size(source, &digest).await;
        let size = size.map_err(|error| target.failure(&error))?.unwrap_or_default();
        Ok((digest.to_string(), i64::try_from(size).unwrap_or_default()))
    }

    /// Fetches the configuration of a manifest. Empty if it has none.
    async fn config(
        &self,
        target: FetchTarget<'_>,
        part: &LoadedManifest,
    ) -> Result<String, FetchFailure> {
        if !manifest::has_config(part.fetched.media_type) {
            return Ok(String::new());
        }
        let manifest =
            Manifest::read(&part.text).map_err(|why| ImportFailure::Content(why.to_string()))?;
        let digest = manifest.config.digest.parse().map_err(|why| {
            ImportFailure::Registry(format!("the manifest has an invalid configuration: {why}"))
        })?;
        let permit = self.permit().await;
        let config = self.session.blob(&part.fetched.source, &digest).await;
        drop(permit);
        let config = config.map_err(|error| target.failure(&error))?;
        let config = text_of(&config, "failed to parse dockerImageConfig")?;
        self.charge(config.len())?;
        Ok(config)
    }

    /// Counts content that is kept until the end of the import.
    fn charge(&self, bytes: usize) -> Result<(), FetchFailure> {
        let before = self.content_bytes.fetch_add(bytes, Ordering::Relaxed);
        match before.saturating_add(bytes) <= MAX_CONTENT_BYTES {
            true => Ok(()),
            false => {
                let text = format!(
                    "the manifests and configurations of the import take more than \
                     {MAX_CONTENT_BYTES} bytes: import fewer images at once"
                );
                Err(ImportFailure::Content(text).into())
            }
        }
    }

    /// Waits until the import may send a request.
    async fn permit(&self) -> SemaphorePermit<'_> {
        self.requests.acquire().await.expect("the semaphore is never closed")
    }
}

/// The request that a fetch is for.
#[derive(Clone, Copy)]
struct FetchTarget<'a> {
    request: &'a ManifestRequest,
    repository: &'a Repository,
}

impl FetchTarget<'_> {
    fn failure(&self, error: &RegistryError) -> FetchFailure {
        FetchFailure::of(error, Subject::Image, &self.request.repository)
    }
}

/// A manifest with its text.
struct LoadedManifest {
    /// Digest by which it was requested, or else its own.
    digest: String,
    text: String,
    fetched: FetchedManifest,
}

impl LoadedManifest {
    fn list(&self) -> Result<ManifestList, ImportFailure> {
        ManifestList::read(&self.text).map_err(|why| ImportFailure::Content(why.to_string()))
    }

    fn content(self, config: String) -> ManifestContent {
        ManifestContent {
            digest: self.digest,
            name: self.fetched.digest.to_string(),
            media_type: self.fetched.media_type.into(),
            text: self.text,
            config,
        }
    }
}

fn version_of(version: &ManifestVersion) -> Result<ManifestReference, RegistryError> {
    Ok(match version {
        ManifestVersion::Tag(tag) => ManifestReference::Tag(tag.parse()?),
        ManifestVersion::Digest(digest) => {
            let digest = digest.parse().map_err(InvalidName::Digest)?;
            ManifestReference::Digest(digest)
        }
    })
}

fn security(transport: RegistryTransport) -> Security {
    match transport {
        RegistryTransport::Secure => Security::Verified,
        RegistryTransport::Insecure => Security::Insecure,
    }
}

fn text_of(bytes: &[u8], error: &str) -> Result<String, ImportFailure> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(ImportFailure::Registry(format!("{error}: invalid UTF-8"))),
    }
}
