//! Errors of calls to etcd, sorted by the action that follows.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tonic::Code;

use crate::store::StoreError;

/// A failed call.
#[derive(Clone, Debug)]
pub(super) enum CallError {
    /// The revision is compacted.
    Compacted,
    /// The space quota of etcd is used up. The transaction that used it up was applied.
    NoSpace,
    /// The request exceeds a limit of etcd. Nothing was changed.
    TooLarge(Arc<CallFailure>),
    /// Another member would answer the same, for instance to wrong credentials. Nothing was
    /// changed.
    Rejected(Arc<CallFailure>),
    /// Another member or a later attempt may succeed. A write may have been applied.
    Failed(Arc<CallFailure>),
}

/// The cause of a failed call.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// An answer of etcd, or a failed connection.
    Etcd {
        /// The member.
        server: String,
        /// The error of the client.
        error: etcd_client::Error,
    },
    /// Any other cause.
    Other(String),
}

impl CallError {
    /// Sorts an error of the client.
    pub(super) fn new(server: &str, error: etcd_client::Error) -> Self {
        let (code, message) = match &error {
            etcd_client::Error::GRpcStatus(status) => (status.code(), status.message()),
            // A lease that does not exist.
            etcd_client::Error::LeaseKeepAliveError(_) => (Code::FailedPrecondition, ""),
            _ => (Code::Unavailable, ""),
        };
        let says = |text: &str| message.contains(text);
        match code {
            Code::OutOfRange if says("compacted") => return Self::Compacted,
            Code::ResourceExhausted if says("space exceeded") => return Self::NoSpace,
            _ => {}
        }
        let is_large =
            says("request is too large") || says("larger than max") || says("too many operations");
        let failure = Arc::new(CallFailure::Etcd { server: server.to_owned(), error });
        match code {
            Code::InvalidArgument | Code::ResourceExhausted if is_large => Self::TooLarge(failure),
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => Self::Rejected(failure),
            _ => Self::Failed(failure),
        }
    }

    /// A failure for another reason, which may pass.
    pub(super) fn other(reason: impl Into<String>) -> Self {
        Self::Failed(Arc::new(CallFailure::Other(reason.into())))
    }

    /// Returns true if no other attempt can succeed.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compacted => f.write_str("the revision is compacted"),
            Self::NoSpace => f.write_str(NO_SPACE),
            Self::TooLarge(failure) | Self::Rejected(failure) | Self::Failed(failure) => {
                failure.fmt(f)
            }
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd { server, error } => {
                let etcd_client::Error::GRpcStatus(status) = error else {
                    return write!(f, "etcd at {server}: {error}");
                };
                write!(f, "etcd at {server}: {:?}: {}", status.code(), status.message())?;
                // A status of the transport hides its reason in its sources.
                let mut source = status.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl Error for CallFailure {}

/// The state of an etcd whose space quota is used up, and the remedy.
pub(super) const NO_SPACE: &str =
    "the space quota of etcd is used up: compact and defragment it, then disarm its alarm";

impl From<CallError> for StoreError {
    /// The error of a read, or of a write that was certainly not applied.
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoSpace => Self::Full { reason: NO_SPACE.to_owned() },
            CallError::TooLarge(failure) => Self::TooLarge { reason: failure.to_string() },
            CallError::Rejected(failure) | CallError::Failed(failure) => Self::Unreachable(failure),
            CallError::Compacted => {
                Self::Unreachable(Arc::new(CallFailure::Other(error.to_string())))
            }
        }
    }
}
