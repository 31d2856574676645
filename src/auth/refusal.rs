//! Why a request is not let through.

use crate::cluster::ReviewError;
use crate::meta::Status;

/// Why a request is not let through.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// As Kubernetes words it.
    Status(Box<Status>),
    /// Something could not be found out: 500 in plain text, as kube-apiserver has it before a request is known to be allowed.
    Internal(String),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<&ReviewError> for Refusal {
    fn from(error: &ReviewError) -> Self {
        Self::Internal(error.to_string())
    }
}
