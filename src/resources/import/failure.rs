//! Failures of imports from errors of registries.

use crate::domain::import::ImportFailure;
use crate::domain::reference::Reference;
use crate::oci::{RegistryError, RegistryErrorKind};

/// Subject of a request to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Manifest or configuration.
    Image,
    /// List of tags.
    Tags,
}

/// Returns the failure for an error about an image, or the tags, of `repository`.
pub(super) fn of(error: &RegistryError, subject: Subject, repository: &Reference) -> ImportFailure {
    match (error.kind(), subject) {
        (RegistryErrorKind::ManifestUnknown, Subject::Image)
        | (RegistryErrorKind::NameUnknown, Subject::Tags) => ImportFailure::NotFound,
        (RegistryErrorKind::Unauthorized, _) => ImportFailure::Unauthorized,
        // A list of tags fails with the text of the token server.
        (RegistryErrorKind::WrongPassword, Subject::Image) => ImportFailure::WrongPassword,
        (RegistryErrorKind::Blocked, _) => {
            ImportFailure::Blocked { registry: repository.registry.clone() }
        }
        _ => match error {
            RegistryError::AllSources(errors) => {
                ImportFailure::Content(all_sources(errors, subject))
            }
            other => ImportFailure::Registry(other.to_string()),
        },
    }
}

/// The messages of several sources, which name the sources.
fn all_sources(errors: &[(crate::oci::Repository, RegistryError)], subject: Subject) -> String {
    let messages: Vec<String> = errors
        .iter()
        .map(|(source, error)| {
            let name = source.to_string();
            let repository = name.parse::<Reference>().unwrap_or_default();
            of(error, subject, &repository).status(&name).message
        })
        .collect();
    format!("[{}]", messages.join(", "))
}
