//! Reports of attempts in the log.

use std::time::Duration;

use tracing::{debug, info};

use super::import_queue::FinishedAttempt;
use super::ready_queue::UnitKey;
use crate::domain::import::{ImportNeed, ImportTarget};
use crate::resources::import::{FailedAttempt, TargetOutcome, TargetResult};

/// Reports attempts.
pub(super) struct ImportReporter;

impl ImportReporter {
    /// A reporter.
    pub(super) fn new() -> Self {
        Self
    }

    /// Reports an attempt that was part of an import of this duration.
    pub(super) fn report(
        &self,
        unit: &UnitKey,
        result: &TargetResult,
        finished: &FinishedAttempt,
        duration: Duration,
    ) {
        let (namespace, name) = (&unit.stream.namespace, &unit.stream.name);
        let tag = match &result.target {
            ImportTarget::Repository => "",
            ImportTarget::Tag(tag) => tag,
        };
        let (registry, source, seconds) = (&*unit.registry, &result.source, duration.as_secs_f64());
        match &result.outcome {
            TargetOutcome::Imported { image } => {
                let recovered = result.need == Some(ImportNeed::Failed);
                info!(namespace, name, tag, source, image, recovered, seconds, "imported");
            }
            TargetOutcome::Failed(FailedAttempt { reason, message, details })
            | TargetOutcome::CheckFailed(FailedAttempt { reason, message, details }) => {
                let next_try_seconds = finished.next.unwrap_or_default().as_secs();
                let attempts = finished.failed_before.saturating_add(1);
                let credential = details.credential.as_deref().unwrap_or_default();
                let http_status = details.http_status.unwrap_or_default();
                info!(
                    namespace, name, tag, registry, reason, message, http_status, credential,
                    attempts, next_try_seconds, "an import failed"
                );
            }
            TargetOutcome::Unchanged => debug!(namespace, name, tag, source, "source is unchanged"),
            TargetOutcome::Superseded => debug!(namespace, name, tag, "tag changed meanwhile"),
            TargetOutcome::Unneeded => {}
        }
    }

    fn report_failure(
        &self,
        unit: &UnitKey,
        subject: TagSubject<'_>,
        failed: &FailedAttempt,
        finished: &FinishedAttempt,
    ) {
        let FailedAttempt { reason, message, details } = failed;
        let TagSubject { namespace, stream: name, tag, .. } = subject;
        let (registry, next) = (&*unit.registry, finished.next.unwrap_or_default());
        let next_try_seconds = next.as_secs();
        let attempts = finished.failed_before.saturating_add(1);
        let credential = details.credential.as_deref().unwrap_or_default();
        let http_status = details.http_status.unwrap_or_default();
        info!(
            namespace,
            name,
            tag,
            registry,
            reason,
            error = message,
            http_status,
            credential,
            attempts,
            next_try_seconds,
            "an import failed"
        );
        let tried = FailedTry {
            message,
            http_status: details.http_status,
            credential: details.credential.as_deref(),
            next_try: next,
        };
        self.events.failed(subject, tried);
    }
}

/// The outcome as a label; none for an attempt that made no request.
fn outcome(outcome: &TargetOutcome) -> Option<ImportOutcome> {
    let failed = match outcome {
        TargetOutcome::Imported { .. } => return Some(ImportOutcome::Imported),
        TargetOutcome::Unchanged => return Some(ImportOutcome::Unchanged),
        TargetOutcome::Throttled { .. } | TargetOutcome::Superseded | TargetOutcome::Unneeded => {
            return None;
        }
        TargetOutcome::Failed(failed) | TargetOutcome::CheckFailed(failed) => failed,
    };
    Some(match (failed.details.http_status, failed.reason.as_str()) {
        (Some(429), _) => ImportOutcome::RateLimited,
        _ if failed.details.class == FailureClass::Transient => ImportOutcome::Unavailable,
        (_, "NotFound") => ImportOutcome::NotFound,
        (_, "Unauthorized") => ImportOutcome::Unauthorized,
        (Some(403), _) | (_, "Forbidden") => ImportOutcome::Forbidden,
        _ => ImportOutcome::Invalid,
    })
}
