//! The importer: fetches the images of an import with the credentials of its namespace.

use futures_util::future;

use super::credentials;
use super::fetch::{FetchResult, Fetcher};
use super::options::{BulkImportLimit, Options};
use super::places::ImportPlaces;
use super::result::{self, ResultBuilder};
use crate::api::{ImageStream, ImageStreamImport, ImageStreamImportStatus, RepositoryImportStatus};
use crate::cluster::Secrets;
use crate::domain::import::{
    self, ImportFailure, ImportPlan, ManifestRequest, RepositoryRequest, TagSelection,
};
use crate::meta::{Status, Time};
use crate::oci::{Keyring, RegistryClient};
use crate::registry::actor::Actor;

/// ImageImporter of images from external registries.
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

    /// Fetches the images of a valid import into `stream`, if that exists. Nothing is stored; images
    /// have their manifests and configurations.
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
    ) -> Result<ImageStreamImportStatus, Status> {
        let _place = self.places.take(&actor.user).await?;
        let keyring = credentials::keyring(&self.secrets, namespace).await.map_err(|why| {
            let text = "the pull secrets of the namespace cannot be read now: try again later";
            Status { hidden: Some(why.to_string()), ..Status::unavailable(text) }
        })?;
        let plan = ImportPlan::new(import, stream);
        let session = self.client.session(keyring);
        let fetcher = Fetcher::new(&session, actor.now);
        let tags = async {
            match &plan.repository {
                Some(request) => Some((request, fetcher.tags(request).await)),
                None => None,
            }
        };
        let (mut images, tags) = future::join(fetcher.images(&plan.requests), tags).await;
        self.retry_without_secrets(namespace, &plan.requests, &mut images, actor.now).await;
        let known = KnownImages { requests: &plan.requests, results: &images };
        let mut results = ResultBuilder::default();
        let repository = match tags {
            None => None,
            Some((request, Ok(tags))) => {
                Some(self.repository(&fetcher, request, tags, known, &mut results).await)
            }
            Some((request, Err(failure))) => {
                let status = import::repository_status(&failure, &request.repository.exact());
                Some(RepositoryImportStatus { status, ..RepositoryImportStatus::default() })
            }
        };
        let images = plan.images.iter().map(|target| match &target.request {
            Ok(at) => results.image(&images[*at], &plan.requests[*at].normalized(), &target.tag),
            Err(status) => crate::api::ImageImportStatus {
                status: (**status).clone(),
                tag: target.tag.clone(),
                ..Default::default()
            },
        });
        Ok(ImageStreamImportStatus { import: None, repository, images: images.collect() })
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
            |result: &FetchResult| result.as_ref().is_err_and(ImportFailure::is_wrong_password);
        let rejected: Vec<usize> =
            (0..results.len()).filter(|at| is_rejected(&results[*at])).collect();
        if rejected.is_empty() {
            return;
        }
        let again: Vec<ManifestRequest> = rejected.iter().map(|at| requests[*at].clone()).collect();
        let session = self.client.session(Keyring::of_namespace(namespace));
        let fetched = Fetcher::new(&session, now).images(&again).await;
        for (at, result) in rejected.into_iter().zip(fetched) {
            let is_unauthorized =
                matches!(result, Err(ImportFailure::Unauthorized | ImportFailure::WrongPassword));
            if !is_unauthorized {
                results[at] = result;
            }
        }
    }

    /// Fetches the images of the first tags of a repository.
    async fn repository(
        &self,
        fetcher: &Fetcher<'_>,
        request: &RepositoryRequest,
        tags: Vec<String>,
        known: KnownImages<'_>,
        results: &mut ResultBuilder,
    ) -> RepositoryImportStatus {
        let BulkImportLimit(most) = self.limit;
        let TagSelection { imported, additional } = import::select(tags, most);
        let (fetched_already, additional_tags): (Vec<String>, Vec<String>) =
            additional.into_iter().partition(|tag| known.find(&request.tag(tag)).is_some());
        let requests: Vec<ManifestRequest> =
            imported.iter().chain(&fetched_already).map(|tag| request.tag(tag)).collect();
        let missing: Vec<ManifestRequest> =
            requests.iter().filter(|each| known.find(each).is_none()).cloned().collect();
        let fetched = fetcher.images(&missing).await;
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
        status
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
