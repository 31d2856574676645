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
}
