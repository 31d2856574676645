//! Failures of imports from errors of registries.

use std::time::Duration;

use crate::domain::import::{FailureClass, ImportFailure};
use crate::domain::reference::Reference;
use crate::oci::{RegistryError, RegistryErrorKind, Repository};

/// Failed fetch of an image or a list of tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FetchFailure {
    /// Reason, as clients see it.
    pub(super) reason: ImportFailure,
    /// Details for the next attempt and for the log.
    pub(super) details: FailureDetails,
}

/// Details of a failure that its status does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureDetails {
    /// Class, which determines the next attempt.
    pub class: FailureClass,
    /// HTTP status of the registry or of its token server.
    pub http_status: Option<u16>,
    /// Shortest time until the next attempt, as the registry demands.
    pub retry_after: Option<Duration>,
    /// Name of the credential that the registry refused.
    pub credential: Option<String>,
}

/// Subject of a request to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Manifest or configuration.
    Image,
    /// List of tags.
    Tags,
}

impl FetchFailure {
    /// The failure for an error about an image, or the tags, of `repository`.
    pub(super) fn of(error: &RegistryError, subject: Subject, repository: &Reference) -> Self {
        Self { reason: reason(error, subject, repository), details: FailureDetails::of(error) }
    }

    /// Returns true if an attempt with other credentials may succeed: the registry rejects those of
    /// the namespace.
    pub(super) fn is_wrong_password(&self) -> bool {
        self.reason == ImportFailure::WrongPassword
    }

    /// Returns true if the registry demands other credentials.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self.reason, ImportFailure::Unauthorized | ImportFailure::WrongPassword)
    }
}

impl From<ImportFailure> for FetchFailure {
    /// A failure whose content cannot be imported.
    fn from(reason: ImportFailure) -> Self {
        Self { reason, details: FailureDetails::refused() }
    }
}

impl FailureDetails {
    /// Details of an error.
    pub(super) fn of(error: &RegistryError) -> Self {
        if let RegistryError::AllSources(errors) = error {
            return errors
                .iter()
                .map(|(_, error)| Self::of(error))
                .reduce(Self::joined)
                .unwrap_or_else(Self::refused);
        }
        let class = match error.kind() {
            RegistryErrorKind::Throttled => FailureClass::Throttled,
            kind if kind.is_transient() => FailureClass::Transient,
            _ => FailureClass::Refused,
        };
        Self {
            class,
            http_status: error.status().map(|status| status.as_u16()),
            retry_after: error.retry_after(),
            credential: error.credential().map(str::to_owned),
        }
    }

    /// Details of a failure for a reason other than a response.
    pub(super) fn refused() -> Self {
        let (http_status, retry_after, credential) = (None, None, None);
        Self { class: FailureClass::Refused, http_status, retry_after, credential }
    }

    /// Details of the failure of a mirror and another source: any of them may recover.
    fn joined(self, other: Self) -> Self {
        let class = match self.class == other.class {
            true => self.class,
            false => FailureClass::Transient,
        };
        Self {
            class,
            http_status: other.http_status.or(self.http_status),
            retry_after: self.retry_after.max(other.retry_after),
            credential: other.credential.or(self.credential),
        }
    }
}

fn reason(error: &RegistryError, subject: Subject, repository: &Reference) -> ImportFailure {
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
fn all_sources(errors: &[(Repository, RegistryError)], subject: Subject) -> String {
    let messages: Vec<String> = errors
        .iter()
        .map(|(source, error)| {
            let name = source.to_string();
            let repository = name.parse::<Reference>().unwrap_or_default();
            reason(error, subject, &repository).status(&name).message
        })
        .collect();
    format!("[{}]", messages.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::RequestFailure;

    fn network() -> RegistryError {
        let cause = RequestFailure::Connect("connection refused".into());
        RegistryError::Request { method: "Get", url: "https://r.io/v2/".into(), cause }
    }

    #[test]
    fn network_errors_are_transient_and_content_is_refused() {
        let class = |error: &RegistryError| FailureDetails::of(error).class;
        assert_eq!(class(&network()), FailureClass::Transient);
        assert_eq!(class(&RegistryError::Content("bad".into())), FailureClass::Refused);
        let mirror = Repository::parse("m.io/a").expect("it is a repository");
        let both = [(mirror.clone(), network()), (mirror, RegistryError::Content("bad".into()))];
        assert_eq!(class(&RegistryError::AllSources(both.into())), FailureClass::Transient);
    }
}
