//! A call of a webhook.

use std::time::Instant;

use tracing::warn;

use super::review::{ReviewBody, ReviewResponse, ReviewStatus};
use super::rules::{WebhookCalls, internal};
use crate::cluster::{FailurePolicy, SideEffects, Webhook, WebhookCallError, WebhookPhase};
use crate::machinery::body_limits::{self, MAX_VALUES};
use crate::meta::{Status, field};
use crate::registry::actor::{Actor, DryRun};
use crate::telemetry::admission_metrics::{WebhookCall, WebhookRejection};

/// The outcome of a call that lets the write go on.
pub(super) enum CallOutcome {
    /// The webhook allowed the write. A mutating one may return a JSON patch.
    Allowed(Option<Vec<u8>>),
    /// The call failed, and the webhook is ignored.
    FailedOpen,
}

/// The reason why there is no response.
enum ReviewFault {
    /// The call failed, and the policy of the webhook decides.
    Failed(String),
    /// This server has no memory for the response, whatever the policy.
    NoMemory,
}

/// The memory of a decoded response for each of its bytes, which are the response itself, its texts
/// and its patch.
const BYTE_COST: u64 = 3;
/// The memory of a decoded response for each of its values. Causes of a rejection take the most.
const VALUE_COST: u64 = 100;

impl WebhookCalls {
    /// Calls a webhook.
    ///
    /// # Errors
    /// The rejection of the webhook, 400 for a dry run with side effects, 500 if the call fails and
    /// the webhook must not be ignored, and 429 if there is no memory for the response.
    pub(super) async fn call(
        &self,
        webhook: &Webhook,
        phase: WebhookPhase,
        body: &ReviewBody,
        actor: &Actor,
    ) -> Result<CallOutcome, Status> {
        if actor.dry_run == DryRun::All && webhook.side_effects == SideEffects::Some {
            self.record_rejection(webhook, phase, body, WebhookRejection::Internal);
            let name = field::quote(&webhook.name);
            let text = format!("admission webhook {name} does not support dry run");
            return Err(Status::bad_request(text));
        }
        let started = Instant::now();
        let reviewed = self.review(webhook, phase, body, actor).await;
        let is_called = reviewed.is_ok();
        let outcome = match reviewed {
            Ok(response) => outcome(webhook, response, actor),
            Err(ReviewFault::Failed(error)) => failed(webhook, &error),
            Err(ReviewFault::NoMemory) => Err(Status::too_many_requests()),
        };
        match &outcome {
            Ok(CallOutcome::Allowed(_)) => {}
            Ok(CallOutcome::FailedOpen) => {
                self.metrics.record_fail_open(&webhook.name, phase.label());
            }
            Err(status) => {
                let denied = WebhookRejection::Denied(status.code);
                let rejection = if is_called { denied } else { WebhookRejection::FailedCall };
                self.record_rejection(webhook, phase, body, rejection);
            }
        }
        let call = WebhookCall {
            name: &webhook.name,
            kind: phase.label(),
            operation: body.operation.as_str(),
            code: outcome.as_ref().map_or_else(|status| status.code, |_| 200),
        };
        self.metrics.record_call(call, started.elapsed());
        outcome
    }

    /// Records that a webhook was the reason of an error.
    pub(super) fn record_rejection(
        &self,
        webhook: &Webhook,
        phase: WebhookPhase,
        body: &ReviewBody,
        rejection: WebhookRejection,
    ) {
        let (kind, operation) = (phase.label(), body.operation.as_str());
        self.metrics.record_rejection(&webhook.name, kind, operation, rejection);
    }

    async fn review(
        &self,
        webhook: &Webhook,
        phase: WebhookPhase,
        body: &ReviewBody,
        actor: &Actor,
    ) -> Result<ReviewResponse, ReviewFault> {
        let Some(version) = webhook.review_version else {
            return Err(ReviewFault::Failed(
                "could not create admission objects: webhook does not accept known AdmissionReview \
                 versions (v1, v1beta1)"
                    .into(),
            ));
        };
        let uid = uuid::Uuid::new_v4().to_string();
        let request = body.request(&uid, version);
        let response = match self.client.post(webhook, request, actor.load.account()).await {
            Ok(response) => response,
            Err(WebhookCallError::Failed(why)) => {
                return Err(ReviewFault::Failed(format!("failed to call webhook: {why}")));
            }
            Err(WebhookCallError::NoMemory(_)) => {
                return Err(ReviewFault::NoMemory);
            }
        };
        // Other requests that wait for this memory hold what the next line waits for.
        drop(response.memory);
        reserve(&response.body, actor).await?;
        ReviewResponse::read(&response.body, &uid, version, phase).map_err(ReviewFault::Failed)
    }
}

/// Reserves the memory that a response decodes to.
async fn reserve(body: &[u8], actor: &Actor) -> Result<(), ReviewFault> {
    let values = body_limits::count_values(body);
    if values > MAX_VALUES {
        let why =
            format!("failed to call webhook: the response holds more than {MAX_VALUES} values");
        return Err(ReviewFault::Failed(why));
    }
    let bytes = BYTE_COST * body.len() as u64 + VALUE_COST * values as u64;
    actor.load.reserve_more(bytes).await.map_err(|_| ReviewFault::NoMemory)
}

/// The outcome of a call with this response.
fn outcome(
    webhook: &Webhook,
    response: ReviewResponse,
    actor: &Actor,
) -> Result<CallOutcome, Status> {
    for (key, value) in response.annotations {
        actor.notes.annotate(format!("{}/{key}", webhook.name), value);
    }
    response.warnings.iter().for_each(|warning| actor.notes.warn(warning));
    match response.allowed {
        true => Ok(CallOutcome::Allowed(response.patch)),
        false => Err(ReviewStatus::rejection(response.result, &webhook.name)),
    }
}

/// The outcome of a failed call.
pub(super) fn failed(webhook: &Webhook, error: &str) -> Result<CallOutcome, Status> {
    let Webhook { configuration, name, .. } = webhook;
    match webhook.failure_policy {
        FailurePolicy::Ignore => {
            warn!(configuration, webhook = name, error, "failed calling webhook, failing open");
            Ok(CallOutcome::FailedOpen)
        }
        FailurePolicy::Fail => {
            warn!(configuration, webhook = name, error, "failed calling webhook, failing closed");
            Err(internal(&format!("failed calling webhook {}: {error}", field::quote(name))))
        }
    }
}
