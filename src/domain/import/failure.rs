//! Failures of imports, and their `Status`, as `formatRepositoryError` in openshift-apiserver
//! pkg/image/apiserver/importer/importer.go.

use crate::api::GROUP;
use crate::meta::{GroupResource, Status, StatusCause, StatusDetails};

const DOCKER_IMAGE: GroupResource<'static> = GroupResource { group: GROUP, name: "dockerimage" };

/// Reason why an image, or the tags of a repository, could not be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportFailure {
    /// The registry does not have it.
    NotFound,
    /// The registry requires other credentials.
    Unauthorized,
    /// The registry, or its token server, rejects user name or password.
    WrongPassword,
    /// The configuration of the server blocks the registry.
    Blocked {
        /// Host of the registry as in the pull spec.
        registry: String,
    },
    /// Any other error of the registry or the network. The text does not name the image.
    Registry(String),
    /// The content cannot be imported.
    Content(String),
}

impl ImportFailure {
    /// Returns the status of an image with the normalized pull spec `reference`.
    pub fn status(&self, reference: &str) -> Status {
        match self {
            Self::Registry(text) => internal(format!("{reference}: {text}")),
            other => other.common_status(reference),
        }
    }

    /// Returns true if an attempt with other credentials may succeed: the registry rejects those of
    /// the namespace.
    pub fn is_wrong_password(&self) -> bool {
        *self == Self::WrongPassword
    }

    fn common_status(&self, reference: &str) -> Status {
        match self {
            Self::NotFound => Status::not_found(DOCKER_IMAGE, reference),
            Self::Unauthorized => unauthorized(format!(
                "you may not have access to the container image \"{reference}\""
            )),
            Self::WrongPassword => {
                unauthorized(format!("incorrect username or password for image \"{reference}\""))
            }
            Self::Blocked { registry } => {
                Status::forbidden(format!("forbidden: registry {registry} blocked"))
                    .with_details(StatusDetails::default())
            }
            Self::Registry(text) | Self::Content(text) => internal(text.clone()),
        }
    }
}

/// Returns the status of a repository, the tags of which could not be listed.
///
/// `repository` is the pull spec as sent by the client. Unlike the texts for images, those of other
/// errors do not name it.
pub fn repository_status(failure: &ImportFailure, repository: &str) -> Status {
    failure.common_status(repository)
}

/// Returns 500 with the text as its cause, as `NewInternalError` in Go. Clients see the text,
/// because it comes from the registry that they chose.
fn internal(text: String) -> Status {
    let cause = StatusCause { message: text.clone(), ..StatusCause::default() };
    let details = StatusDetails { causes: vec![cause], ..StatusDetails::default() };
    Status::failure(500, "InternalError", format!("Internal error occurred: {text}"))
        .with_details(details)
}

fn unauthorized(text: String) -> Status {
    Status::failure(401, "Unauthorized", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(failure: ImportFailure) -> (u16, String, String) {
        let Status { code, reason, message, .. } = failure.status("r.io/a:t");
        (code, reason, message)
    }

    #[test]
    fn each_failure_has_its_code_reason_and_text() {
        let expected = |code: u16, reason: &str, text: &str| (code, reason.into(), text.into());
        let text = r#"dockerimage.image.openshift.io "r.io/a:t" not found"#;
        assert_eq!(status(ImportFailure::NotFound), expected(404, "NotFound", text));
        let text = r#"you may not have access to the container image "r.io/a:t""#;
        assert_eq!(status(ImportFailure::Unauthorized), expected(401, "Unauthorized", text));
        let text = r#"incorrect username or password for image "r.io/a:t""#;
        assert_eq!(status(ImportFailure::WrongPassword), expected(401, "Unauthorized", text));
        let blocked = ImportFailure::Blocked { registry: "r.io".into() };
        let text = "forbidden: registry r.io blocked";
        assert_eq!(status(blocked), expected(403, "Forbidden", text));
        let text = "Internal error occurred: r.io/a:t: denied";
        let denied = ImportFailure::Registry("denied".into());
        assert_eq!(status(denied), expected(500, "InternalError", text));
        let text = "Internal error occurred: no history";
        let content = ImportFailure::Content("no history".into());
        assert_eq!(status(content), expected(500, "InternalError", text));
    }

    #[test]
    fn repository_error_does_not_name_the_repository() {
        let denied = ImportFailure::Registry("denied".into());
        let status = repository_status(&denied, "r.io/a");
        assert_eq!(status.message, "Internal error occurred: denied");
        assert_eq!(status.details.unwrap().causes[0].message, "denied");
        let missing = repository_status(&ImportFailure::NotFound, "r.io/a");
        assert_eq!(missing.details.unwrap().name, "r.io/a");
    }
}
