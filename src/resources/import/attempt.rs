//! Attempts to import targets of a stream, and their results.

use std::time::Duration;

use super::failure::FailureDetails;
use crate::domain::import::{FailureClass, ImportNeed, ImportTarget};
use crate::meta::Status;

/// An attempt to import a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAttempt {
    /// Target.
    pub target: ImportTarget,
    /// Kind of the attempt.
    pub kind: TryKind,
}

/// Kind of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryKind {
    /// A scheduled tag whose source has the digest of the last import is not imported.
    Check,
    /// The target is imported.
    Import,
}

/// Result of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetResult {
    /// UID of the stream; empty if it does not exist.
    pub uid: String,
    /// Target.
    pub target: ImportTarget,
    /// Need before the attempt.
    pub need: Option<ImportNeed>,
    /// Pull spec of the source.
    pub source: String,
    /// Generation of the spec tag after the attempt.
    pub generation: i64,
    /// Outcome.
    pub outcome: TargetOutcome,
}

/// Outcome of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetOutcome {
    /// The target was imported, and the result is stored.
    Imported {
        /// Name of the image. Empty for a repository.
        image: String,
    },
    /// The source has the image of the last import.
    Unchanged,
    /// The import failed. The condition of the tag says so.
    Failed(FailedAttempt),
    /// The check failed. The stream does not say so: the next attempt is an import.
    CheckFailed(FailedAttempt),
    /// No request was sent, because the registry demands a pause or others come first. This is no
    /// attempt.
    Throttled {
        /// Shortest time until the attempt.
        retry_after: Duration,
    },
    /// The target changed during the attempt. The result is dropped.
    Superseded,
    /// The target needs no import.
    Unneeded,
}

/// Failure of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedAttempt {
    /// Reason, as in the condition.
    pub reason: String,
    /// Message, as in the condition.
    pub message: String,
    /// Details.
    pub details: FailureDetails,
}

impl TargetResult {
    /// The failure of a failed attempt.
    pub fn failure(&self) -> Option<&FailedAttempt> {
        match &self.outcome {
            TargetOutcome::Failed(failed) | TargetOutcome::CheckFailed(failed) => Some(failed),
            TargetOutcome::Imported { .. }
            | TargetOutcome::Unchanged
            | TargetOutcome::Throttled { .. }
            | TargetOutcome::Superseded
            | TargetOutcome::Unneeded => None,
        }
    }

    /// The result for a target that needs no import.
    pub(super) fn unneeded(target: &ImportTarget) -> Self {
        Self {
            uid: String::new(),
            target: target.clone(),
            need: None,
            source: String::new(),
            generation: 0,
            outcome: TargetOutcome::Unneeded,
        }
    }
}

impl TargetOutcome {
    /// The outcome of a failed import or check.
    pub(super) fn of_failure(
        failed: FailedAttempt,
        outcome: impl FnOnce(FailedAttempt) -> Self,
    ) -> Self {
        match failed.details.class {
            FailureClass::Throttled => {
                let retry_after = failed.details.retry_after.unwrap_or_default();
                Self::Throttled { retry_after }
            }
            FailureClass::Transient | FailureClass::Refused => outcome(failed),
        }
    }
}

impl FailedAttempt {
    /// The failure with this status.
    pub fn new(status: &Status, details: FailureDetails) -> Self {
        Self { reason: status.reason.clone(), message: status.message.clone(), details }
    }
}
