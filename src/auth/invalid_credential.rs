//! Reasons for which credentials prove no user. They are for the log: a client gets 401 without
//! one.

use std::fmt;
use std::sync::Arc;

/// A credential that proves no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    /// Client certificate of no trusted CA, or outside of its validity.
    #[error("the client certificate has expired, or no trusted CA signed it")]
    Certificate,
    /// Certificate of a front proxy without a user header. It identifies no user by itself.
    #[error("the front proxy names no user, and its certificate is none of a user")]
    NoProxiedUser,
    /// User headers of a front proxy that cannot be read.
    #[error("the user headers of the front proxy cannot be read")]
    ProxyHeaders,
    /// Bearer token that no authenticator knows.
    #[error("the bearer token is not known")]
    UnknownToken,
    /// Bearer token that the control plane rejects with a reason.
    #[error("the control plane rejects the bearer token: {0}")]
    RejectedToken(Arc<str>),
    /// Token in the WebSocket subprotocols that cannot be read.
    #[error("the bearer token in the WebSocket subprotocols cannot be read")]
    WebSocketToken,
    /// No credentials, where a user is needed.
    #[error("no credentials")]
    Missing,
}

/// The credentials of a request, none of which proves a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvalidCredentials(pub Vec<InvalidCredential>);

impl From<InvalidCredential> for InvalidCredentials {
    fn from(error: InvalidCredential) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for InvalidCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}
