//! Why a request is not let through.

use crate::cluster::ReviewError;
use crate::meta::Status;

/// Why a request is not let through.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// As Kubernetes words it.
    Status(Box<Status>),
    /// What is asked for makes no sense: 500 in plain text, as kube-apiserver has it before a request is known to be allowed.
    Senseless(String),
    /// Something could not be found out: 500 in plain text, too.
    Undecided(String),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<&ReviewError> for Refusal {
    fn from(error: &ReviewError) -> Self {
        match error {
            ReviewError::TooMany => Status::too_many_requests().into(),
            error => Self::Undecided(error.to_string()),
        }
    }
}
