//! Rejections by authentication, impersonation and authorization.

use crate::cluster::ReviewError;
use crate::meta::Status;

/// Rejection of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// Kubernetes status.
    Status(Box<Status>),
    /// Impersonation without a user: 500 in plain text, as in kube-apiserver.
    InvalidImpersonation(String),
    /// Failed review: 500 in plain text, as in kube-apiserver.
    Internal(String),
}

impl From<Status> for Rejection {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<&ReviewError> for Rejection {
    fn from(error: &ReviewError) -> Self {
        match error {
            ReviewError::TooManyPending => Status::too_many_requests().into(),
            error => Self::Internal(error.to_string()),
        }
    }
}
