//! Fetched imports: results that are not stored yet.

use super::failure::FailureDetails;
use crate::api::{ImageImportSpec, ImageImportStatus, ImageStreamImportStatus};
use crate::domain::import::FailureClass;

/// An import that was fetched.
pub(in crate::resources) struct FetchedImport {
    /// The results, as clients see them. Images have their manifests and configurations.
    pub(in crate::resources) status: ImageStreamImportStatus,
    /// The fingerprints of the requests for spec.images, with the digests of the sources. `None` for
    /// failures.
    pub(super) sources: Vec<Option<(String, String)>>,
    /// The details of failures of spec.images.
    pub(super) failures: Vec<Option<FailureDetails>>,
    /// The details of the failure of spec.repository: of its list of tags, or of an image that may
    /// succeed soon.
    pub(super) repository_failure: Option<FailureDetails>,
}

impl FetchedImport {
    /// Removes the images of an import for which no request was sent, and returns them with the
    /// details.
    pub(super) fn take_throttled(
        &mut self,
        images: &mut Vec<ImageImportSpec>,
    ) -> Vec<(ImageImportSpec, FailureDetails)> {
        let is_throttled = |failure: &Option<FailureDetails>| {
            failure.as_ref().is_some_and(|it| it.class == FailureClass::Throttled)
        };
        let mut taken = Vec::new();
        for at in (0..self.failures.len()).rev() {
            if is_throttled(&self.failures[at])
                && let Some(failure) = self.failures.remove(at)
            {
                self.status.images.remove(at);
                self.sources.remove(at);
                taken.push((images.remove(at), failure));
            }
        }
        taken
    }

    /// Adds the result of an image that was not fetched, because the server refuses it.
    pub(super) fn push_refused(&mut self, status: ImageImportStatus) {
        self.status.images.push(status);
        self.sources.push(None);
        self.failures.push(Some(FailureDetails::refused()));
    }
}
