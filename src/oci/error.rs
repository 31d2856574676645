//! `RegistryError`: the reason why an image could not be fetched.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::guard::BlockedAddress;
use super::keyring::CredentialError;
use super::repository::{InvalidName, Repository};
use super::response_error::{ErrorCode, ResponseError};
use super::throttle::Throttle;

/// End of the text of an error that a token server reports for a wrong password.
const WRONG_PASSWORD: &str = "incorrect username or password";

/// Error of a request to a registry.
///
/// Its text is that of the Go client of openshift-apiserver where the situations are the same. It
/// contains no credentials, and of bodies nothing but the errors in a registry's JSON, cut at 256
/// bytes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// A request without a usable response: connection, TLS, time limit, redirect.
    #[error("{method} \"{url}\": {cause}")]
    Request {
        /// Method as in Go's errors, such as `Get`.
        method: &'static str,
        /// URL.
        url: String,
        /// Reason.
        cause: RequestFailure,
    },
    /// An error response of the registry.
    #[error("{response}")]
    Response {
        /// Response.
        response: ResponseError,
        /// Name of the credential that the request had.
        credential: Option<String>,
    },
    /// An error response of the token server, during a request to the registry.
    #[error("Get \"{url}\": {response}")]
    TokenResponse {
        /// URL of the request to the registry.
        url: String,
        /// Response of the token server.
        response: ResponseError,
        /// Name of the credential that the request had.
        credential: Option<String>,
    },
    /// An unusable challenge of the registry or response of the token server.
    #[error("Get \"{url}\": {reason}")]
    Token {
        /// URL of the request to the registry.
        url: String,
        /// Reason.
        reason: String,
    },
    /// A server that is no registry.
    #[error("endpoint \"{endpoint}\" does not support v2 API (got {status})")]
    NotARegistry {
        /// Scheme, host and port.
        endpoint: String,
        /// HTTP status.
        status: StatusCode,
    },
    /// Content that does not match its digest.
    #[error("content integrity error: {0}")]
    Integrity(String),
    /// A body, or a list, beyond its limit.
    #[error("the {what} is larger than the limit of {limit} {unit}")]
    TooLarge {
        /// Subject, such as `manifest`.
        what: &'static str,
        /// Limit.
        limit: usize,
        /// Unit of the limit.
        unit: &'static str,
    },
    /// A manifest or tag list that is malformed or of an unknown type.
    #[error("{0}")]
    Content(String),
    /// A request that was not sent, so that the registry gets no more requests than it accepts.
    #[error("no request was sent to registry {registry}, because {}: try again later", .throttle.reason)]
    Throttled {
        /// Host and port.
        registry: String,
        /// Reason, and time to wait.
        throttle: Throttle,
    },
    /// A registry that `--registries-config` blocks.
    #[error("registry {0} blocked")]
    BlockedRegistry(String),
    /// A credential that is invalid.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A name that does not lead to an image.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Errors of all mirrors of a repository, and of the repository itself.
    #[error("[{}]", .0.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join(", "))]
    AllSources(Arc<[(Repository, RegistryError)]>),
}

/// Reason why a request has no usable response.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestFailure {
    /// An address that imports may not use.
    #[error("dial tcp: {0}")]
    Blocked(BlockedAddress),
    /// No connection.
    #[error("{0}")]
    Connect(String),
    /// A failed TLS handshake.
    #[error("{0}")]
    Tls(String),
    /// A time limit.
    #[error("{0}")]
    Timeout(&'static str),
    /// A connection that failed during request or response.
    #[error("{0}")]
    Transfer(String),
    /// A refused redirect.
    #[error("{0}")]
    Redirect(&'static str),
    /// A request that is not allowed or not possible.
    #[error("{0}")]
    Unsupported(String),
}

/// Kind of an error, for the status of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// The registry does not know the tag or digest.
    ManifestUnknown,
    /// The registry does not know the repository.
    NameUnknown,
    /// The registry demands other credentials.
    Unauthorized,
    /// The token server does not accept user and password.
    WrongPassword,
    /// The credentials are insufficient.
    Denied,
    /// A rate limit.
    TooManyRequests,
    /// A time limit, a failed connection, or an error of the server. A later attempt may succeed.
    Temporary,
    /// No request was sent, because the registry accepts no more. The image may be there or not.
    Throttled,
    /// `--registries-config` blocks the registry.
    Blocked,
    /// Any other error.
    Other,
}

impl RegistryErrorKind {
    /// Returns true if the same request may succeed later although nobody changes anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::Temporary | Self::Throttled)
    }
}

impl RegistryError {
    /// Returns the kind.
    pub fn kind(&self) -> RegistryErrorKind {
        match self {
            Self::Response { response, .. } if response.to_string().ends_with(WRONG_PASSWORD) => {
                RegistryErrorKind::WrongPassword
            }
            Self::Response { response, .. } => kind_of(response),
            Self::TokenResponse { response, .. } => match kind_of(response) {
                _ if response.to_string().ends_with(WRONG_PASSWORD) => {
                    RegistryErrorKind::WrongPassword
                }
                RegistryErrorKind::Temporary => RegistryErrorKind::Temporary,
                RegistryErrorKind::TooManyRequests => RegistryErrorKind::TooManyRequests,
                _ => RegistryErrorKind::Other,
            },
            Self::Request { .. } if self.is_unreachable() => RegistryErrorKind::Temporary,
            Self::NotARegistry { status, .. } if status.is_server_error() => {
                RegistryErrorKind::Temporary
            }
            Self::Throttled { .. } => RegistryErrorKind::Throttled,
            Self::BlockedRegistry(_) => RegistryErrorKind::Blocked,
            _ => RegistryErrorKind::Other,
        }
    }

    /// Returns the HTTP status of the response; none if there was no response.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Response { response, .. } | Self::TokenResponse { response, .. } => {
                Some(response.status())
            }
            Self::NotARegistry { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Returns the time after which the server accepts requests again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Response { response, .. } | Self::TokenResponse { response, .. } => {
                response.retry_after()
            }
            Self::Throttled { throttle, .. } => Some(throttle.retry_after),
            _ => None,
        }
    }

    /// Returns true if the server did not respond in time, or at all.
    pub(super) fn is_unreachable(&self) -> bool {
        let Self::Request { cause, .. } = self else { return false };
        matches!(
            cause,
            RequestFailure::Connect(_) | RequestFailure::Timeout(_) | RequestFailure::Transfer(_)
        )
    }

    /// Returns the name of the credential that the server refused.
    pub fn credential(&self) -> Option<&str> {
        match self {
            Self::Response { credential, .. } | Self::TokenResponse { credential, .. } => {
                credential.as_deref()
            }
            _ => None,
        }
    }
}

fn kind_of(response: &ResponseError) -> RegistryErrorKind {
    let known = [
        (ErrorCode::MANIFEST_UNKNOWN, RegistryErrorKind::ManifestUnknown),
        (ErrorCode::NAME_UNKNOWN, RegistryErrorKind::NameUnknown),
        (ErrorCode::UNAUTHORIZED, RegistryErrorKind::Unauthorized),
        (ErrorCode::DENIED, RegistryErrorKind::Denied),
        (ErrorCode::TOO_MANY_REQUESTS, RegistryErrorKind::TooManyRequests),
    ];
    let found = known.into_iter().find_map(|(code, kind)| response.has(code).then_some(kind));
    match found {
        Some(kind) => kind,
        None if response.status().is_server_error() => RegistryErrorKind::Temporary,
        None => RegistryErrorKind::Other,
    }
}
