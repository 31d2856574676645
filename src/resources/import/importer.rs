//! The importer: fetches the images of an import with the credentials of its namespace.

use futures_util::future;

use super::attempt::FailedAttempt;
use super::credentials;
use super::failure::{FailureDetails, FetchFailure};
use super::fetch::{FetchResult, Fetcher};
use super::fetched_import::FetchedImport;
use super::options::{BulkImportLimit, Options};
use super::places::ImportPlaces;
use super::result::{self, ResultBuilder};
use crate::api::{
    ImageImportStatus, ImageStream, ImageStreamImport, ImageStreamImportStatus,
    RepositoryImportStatus,
};
use crate::cluster::Secrets;
use crate::domain::digest::Digest;
use crate::domain::import::{
    self, FailureClass, ImportPlan, ManifestRequest, RepositoryRequest, TagSelection,
};
use crate::meta::{Status, Time};
use crate::oci::{Keyring, PullSession, RegistryClient};
use crate::registry::actor::Actor;

/// Importer of images from external registries.
pub struct ImageImporter {
    client: RegistryClient,
    secrets: Secrets,
    limit: BulkImportLimit,
    places: ImportPlaces,
}

impl ImageImporter {
    /// An importer with this client. Namespaces have the credentials in these secrets.
    pub fn new(client: RegistryClient, secrets: Secrets, options: &Options) -> Self {
        Self {
            client,
            secrets,
            limit: options.max_images_bulk_imported,
            places: ImportPlaces::new(),
        }
    }

    /// Fetches the images of a valid import into `stream`, if that exists, in a place for the user.
    /// Nothing is stored; images have their manifests and configurations.
    ///
    /// # Errors
    /// 429 if too many imports run, and 503 if the credentials of the namespace cannot be read.
    /// Failed images are results.
    pub(in crate::resources) async fn run(
        &self,
        actor: &Actor,
        namespace: &str,
        import: &ImageStreamImport,
        stream: Option<&ImageStream>,
    ) -> Result<FetchedImport, Status> {
        let _place = self.places.take(&actor.user).await?;
        let session = self.session(namespace).await?;
        Ok(self.fetch(&session, import, stream, actor.now).await)
    }

    /// Opens a session with the credentials of a namespace.
    ///
    /// # Errors
    /// 503 if the credentials of the namespace cannot be read.
    pub(in crate::resources) async fn session(
        &self,
        namespace: &str,
    ) -> Result<PullSession, Status> {
        let keyring = credentials::keyring(&self.secrets, namespace).await.map_err(|why| {
            let text = "the pull secrets of the namespace cannot be read now: try again later";
            Status { hidden: Some(why.to_string()), ..Status::unavailable(text) }
        })?;
        Ok(self.client.session(keyring))
    }

    /// Gets the digests of sources, in the order of the requests, or the reasons for failures.
    pub(in crate::resources) async fn digests(
        &self,
        session: &PullSession,
        requests: &[ManifestRequest],
        now: Time,
    ) -> Vec<Result<Digest, FailedAttempt>> {
        let digests = Fetcher::new(session, now).digests(requests).await;
        let digests = digests.into_iter().zip(requests).map(|(digest, request)| {
            digest.map_err(|FetchFailure { reason, details }| {
                FailedAttempt::new(&reason.status(&request.normalized()), details)
            })
        });
        digests.collect()
    }

    /// Fetches the images of a valid import into `stream`, if that exists.
    pub(in crate::resources) async fn fetch(
        &self,
        session: &PullSession,
        import: &ImageStreamImport,
        stream: Option<&ImageStream>,
        now: Time,
    ) -> FetchedImport {
        let plan = ImportPlan::new(import, stream);
        let fetcher = Fetcher::new(session, now);
        let tags = async {
            match &plan.repository {
                Some(request) => Some((request, fetcher.tags(request).await)),
                None => None,
            }
        };
        let (mut images, tags) = future::join(fetcher.images(&plan.requests), tags).await;
        let namespace = session.namespace();
        self.retry_without_secrets(namespace, &plan.requests, &mut images, now).await;
        let known = KnownImages { requests: &plan.requests, results: &images };
        let mut results = ResultBuilder::default();
        let (repository, repository_failure) = match tags {
            None => (None, None),
            Some((request, Ok(tags))) => {
                let (status, failure) =
                    self.repository(&fetcher, request, tags, known, &mut results).await;
                (Some(status), failure)
            }
            Some((request, Err(failure))) => {
                let status =
                    import::repository_status(&failure.reason, &request.repository.exact());
                let status = RepositoryImportStatus { status, ..RepositoryImportStatus::default() };
                (Some(status), Some(failure.details))
            }
        };
        let mut fetched = FetchedImport {
            status: ImageStreamImportStatus { import: None, repository, images: Vec::new() },
            sources: Vec::new(),
            failures: Vec::new(),
            repository_failure,
        };
        for target in &plan.images {
            let (status, source, failure) = match &target.request {
                Ok(at) => {
                    let (result, request) = (&images[*at], &plan.requests[*at]);
                    let status = results.image(result, &request.normalized(), &target.tag);
                    let source = result.as_ref().ok().filter(|_| status.image.is_some());
                    let source = source.map(|it| (request.fingerprint(), it.source.clone()));
                    (status, source, result.as_ref().err().map(|failure| failure.details.clone()))
                }
                Err(status) => {
                    let (status, tag) = ((**status).clone(), target.tag.clone());
                    (ImageImportStatus { status, tag, ..Default::default() }, None, None)
                }
            };
            fetched.status.images.push(status);
            fetched.sources.push(source);
            fetched.failures.push(failure);
        }
        fetched
    }

    /// Fetches images again whose registry rejected the password of a secret. The image may be
    /// public. A second rejection does not count.
    async fn retry_without_secrets(
        &self,
        namespace: &str,
        requests: &[ManifestRequest],
        results: &mut [FetchResult],
        now: Time,
    ) {
        let is_rejected =
            |result: &FetchResult| result.as_ref().is_err_and(FetchFailure::is_wrong_password);
        let rejected: Vec<usize> =
            (0..results.len()).filter(|at| is_rejected(&results[*at])).collect();
        if rejected.is_empty() {
            return;
        }
        let again: Vec<ManifestRequest> = rejected.iter().map(|at| requests[*at].clone()).collect();
        let session = self.client.session(Keyring::of_namespace(namespace));
        let fetched = Fetcher::new(&session, now).images(&again).await;
        for (at, result) in rejected.into_iter().zip(fetched) {
            if !result.as_ref().is_err_and(FetchFailure::is_unauthorized) {
                results[at] = result;
            }
        }
    }

    /// Fetches the images of the first tags of a repository. Returns the details of a failure that
    /// may not last, if there is one.
    async fn repository(
        &self,
        fetcher: &Fetcher<'_>,
        request: &RepositoryRequest,
        tags: Vec<String>,
        known: KnownImages<'_>,
        results: &mut ResultBuilder,
    ) -> (RepositoryImportStatus, Option<FailureDetails>) {
        let BulkImportLimit(most) = self.limit;
        let TagSelection { imported, additional } = import::select(tags, most);
        let (fetched_already, additional_tags): (Vec<String>, Vec<String>) =
            additional.into_iter().partition(|tag| known.find(&request.tag(tag)).is_some());
        let requests: Vec<ManifestRequest> =
            imported.iter().chain(&fetched_already).map(|tag| request.tag(tag)).collect();
        let missing: Vec<ManifestRequest> =
            requests.iter().filter(|each| known.find(each).is_none()).cloned().collect();
        let fetched = fetcher.images(&missing).await;
        let mut failures =
            fetched.iter().filter_map(|result| Some(&result.as_ref().err()?.details));
        let failure = failures.find(|it| it.class != FailureClass::Refused).cloned();
        let fetched = KnownImages { requests: &missing, results: &fetched };
        let images = requests.iter().filter_map(|each| {
            let result = known.find(each).or_else(|| fetched.find(each))?;
            Some(results.image(result, &each.normalized(), each.version.tag()))
        });
        let mut status = RepositoryImportStatus {
            images: images.collect(),
            additional_tags,
            ..RepositoryImportStatus::default()
        };
        result::summarize(&mut status);
        (status, failure)
    }
}

/// Requests with their results.
#[derive(Clone, Copy)]
struct KnownImages<'a> {
    requests: &'a [ManifestRequest],
    results: &'a [FetchResult],
}

impl<'a> KnownImages<'a> {
    fn find(&self, request: &ManifestRequest) -> Option<&'a FetchResult> {
        let at = self.requests.iter().position(|each| each == request)?;
        self.results.get(at)
    }
}
