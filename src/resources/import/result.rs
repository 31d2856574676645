//! Results of an import as clients see them.

use super::fetch::FetchResult;
use crate::api::{ImageImportStatus, RepositoryImportStatus};
use crate::domain::import::{ImportFailure, ImportedImage};
use crate::meta::Status;

/// Maximum size of the manifests and configurations of all results, in bytes. Their metadata takes
/// as much. Several results may have the same image.
const MAX_RESULT_BYTES: usize = 32 << 20;

/// Results of one import, within a limit.
#[derive(Default)]
pub(super) struct ResultBuilder {
    bytes: usize,
}

impl ResultBuilder {
    /// Returns the result of an image with the normalized pull spec `reference`.
    pub(super) fn image(
        &mut self,
        fetched: &FetchResult,
        reference: &str,
        tag: &str,
    ) -> ImageImportStatus {
        match fetched {
            Ok(imported) if self.fits(imported) => ImageImportStatus {
                status: Status::success(),
                image: Some(imported.image.clone()),
                tag: tag.into(),
                manifests: imported.manifests.clone(),
            },
            Ok(_) => failed(&too_large(), reference, tag),
            Err(failure) => failed(&failure.reason, reference, tag),
        }
    }

    fn fits(&mut self, imported: &ImportedImage) -> bool {
        let images = imported.manifests.iter().chain([&imported.image]);
        let bytes: usize = images
            .map(|image| image.docker_image_manifest.len() + image.docker_image_config.len())
            .sum();
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_RESULT_BYTES
    }
}

fn failed(failure: &ImportFailure, reference: &str, tag: &str) -> ImageImportStatus {
    // openshift-apiserver refuses a blocked registry before it looks at the tag.
    let tag = if matches!(failure, ImportFailure::Blocked { .. }) { "" } else { tag };
    let status = failure.status(reference);
    ImageImportStatus { status, tag: tag.into(), ..ImageImportStatus::default() }
}

fn too_large() -> ImportFailure {
    ImportFailure::Content(format!(
        "the manifests and configurations of all results take more than {MAX_RESULT_BYTES} bytes: \
         import fewer images at once"
    ))
}

/// Sets the status of a repository from those of its images.
pub(super) fn summarize(repository: &mut RepositoryImportStatus) {
    let failed = repository.images.iter().filter(|image| image.image.is_none()).count();
    repository.status = match failed {
        0 => Status::success(),
        1 => import_failed("one of the images from this repository failed to import".into()),
        many => {
            import_failed(format!("{many} of the images from this repository failed to import"))
        }
    };
}

/// The status has no code, as in openshift-apiserver.
fn import_failed(text: String) -> Status {
    Status::failure(0, "ImportFailed", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Image;

    fn imported(bytes: usize) -> FetchResult {
        let image = Image { docker_image_config: "x".repeat(bytes), ..Image::default() };
        Ok(ImportedImage { image, ..ImportedImage::default() })
    }

    #[test]
    fn results_have_a_limit_in_all() {
        let mut builder = ResultBuilder::default();
        let half = imported(MAX_RESULT_BYTES / 2);
        for at in 0..3 {
            let result = builder.image(&half, "r.io/a:t", "t");
            assert_eq!(result.image.is_some(), at < 2, "{at}");
            assert_eq!(result.tag, "t");
        }
    }

    #[test]
    fn blocked_image_has_no_tag() {
        let blocked = Err(ImportFailure::Blocked { registry: "r.io".into() }.into());
        let result = ResultBuilder::default().image(&blocked, "r.io/a:t", "t");
        assert_eq!((result.status.code, result.tag.as_str()), (403, ""));
    }

    #[test]
    fn repository_counts_its_failures() {
        let mut builder = ResultBuilder::default();
        let failure = Err(ImportFailure::NotFound.into());
        let mut repository = RepositoryImportStatus::default();
        for expected in [
            "one of the images from this repository failed to import",
            "2 of the images from this repository failed to import",
        ] {
            repository.images.push(builder.image(&failure, "r.io/a:t", "t"));
            summarize(&mut repository);
            assert_eq!(repository.status.message, expected);
        }
        repository.images = vec![builder.image(&imported(1), "r.io/a:t", "t")];
        summarize(&mut repository);
        assert_eq!(repository.status, Status::success());
    }
}
