//! Why a request is not let through.

use crate::cluster::ReviewError;
use crate::meta::Status;

/// Why a request is not let through.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// As Kubernetes words it.
    Status(Box<Status>),
    /// What is asked for makes no sense: 500 in plain text, as kube-apiserver has it before a request is known to be allowed.
    InvalidImpersonation(String),
    /// Something could not be found out: 500 in plain text, too.
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
