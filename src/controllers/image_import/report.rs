//! Reports of attempts: log, events and metrics.

use std::time::Duration;

use tracing::{debug, info};

use super::import_queue::FinishedAttempt;
use super::ready_queue::UnitKey;
use crate::controllers::import_events::{FailedTry, ImportEvents, TagSubject};
use crate::domain::import::{FailureClass, ImportNeed, ImportTarget};
use crate::resources::import::{FailedAttempt, TargetOutcome, TargetResult};
use crate::telemetry::import_metrics::{ImportMetrics, ImportOutcome};
use crate::telemetry::log;

/// Reports attempts.
pub(super) struct ImportReporter {
    events: ImportEvents,
    metrics: ImportMetrics,
}

impl ImportReporter {
    /// A reporter with these outputs besides the log.
    pub(super) fn new(events: ImportEvents, metrics: ImportMetrics) -> Self {
        Self { events, metrics }
    }

    /// Reports an attempt that was part of an import of this duration.
    pub(super) fn report(
        &self,
        unit: &UnitKey,
        result: &TargetResult,
        finished: &FinishedAttempt,
        duration: Duration,
    ) {
        if let Some(outcome) = outcome(&result.outcome) {
            self.metrics.record_try(&unit.registry, outcome, duration);
        }
        let (namespace, name) = (&unit.stream.namespace, &unit.stream.name);
        let tag = match &result.target {
            ImportTarget::Repository => "",
            ImportTarget::Tag(tag) => tag,
        };
        let subject = TagSubject { namespace, stream: name, uid: &result.uid, tag };
        let source = &result.source;
        match &result.outcome {
            TargetOutcome::Imported { image } => {
                // The queue may have seen the recorded result before the end of the attempt.
                let failed_once = u32::from(result.need == Some(ImportNeed::Failed));
                let failed = finished.failed_before.max(failed_once);
                let seconds = log::seconds(duration);
                info!(namespace, name, tag, source, image, failed, seconds, "imported");
                match failed {
                    0 => self.events.imported(subject, source),
                    failed => self.events.recovered(subject, source, failed),
                }
            }
            TargetOutcome::Failed(failed) | TargetOutcome::CheckFailed(failed) => {
                self.report_failure(unit, subject, failed, finished);
            }
            TargetOutcome::Unchanged => {
                debug!(namespace, name, tag, source, "source is unchanged");
                if finished.failed_before > 0 {
                    self.events.recovered(subject, source, finished.failed_before);
                }
            }
            TargetOutcome::Throttled { retry_after } => {
                let seconds = log::seconds(*retry_after);
                debug!(namespace, name, tag, source, seconds, "an import waits for its registry");
            }
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
