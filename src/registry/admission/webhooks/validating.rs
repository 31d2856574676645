//! Validating webhooks, called in parallel.

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::call::CallOutcome;
use super::review::ReviewBody;
use super::rules::{WebhookCalls, is_needed};
use crate::cluster::{Webhook, WebhookPhase};
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionPhase, AdmissionTarget,
};
use crate::registry::admission::plugin::{AdmissionPlugin, Reservation};

/// Calls the validating webhooks of the cluster, as `validatingDispatcher` in
/// k8s.io/apiserver/pkg/admission/plugin/webhook/validating/dispatcher.go.
pub struct ValidatingWebhooks(WebhookCalls);

impl ValidatingWebhooks {
    /// The plugin for these webhooks.
    pub fn new(calls: WebhookCalls) -> Self {
        Self(calls)
    }

    async fn check(&self, attributes: &AdmissionAttributes, actor: &Actor) -> Result<(), Status> {
        let webhooks = self.0.webhooks(attributes, actor).await?;
        let mut needed: Vec<&Webhook> = Vec::new();
        for webhook in &*webhooks {
            if is_needed(webhook, attributes, actor).await? {
                needed.push(webhook);
            }
        }
        if needed.is_empty() {
            return Ok(());
        }
        let body = ReviewBody::new(attributes, actor);
        let call = |(index, webhook)| {
            let body = &body;
            async move {
                let outcome = self.0.call(webhook, WebhookPhase::Validating, body, actor).await?;
                if matches!(outcome, CallOutcome::FailedOpen) {
                    let key = format!(
                        "failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
                    );
                    actor.notes.annotate(key, webhook.name.clone());
                }
                Ok(())
            }
        };
        let calls: FuturesUnordered<_> = needed.into_iter().enumerate().map(call).collect();
        // All calls end, because each of them may have side effects.
        let outcomes: Vec<Result<(), Status>> = calls.collect().await;
        outcomes.into_iter().collect()
    }
}

impl AdmissionPlugin for ValidatingWebhooks {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        phase == AdmissionPhase::Validate && self.0.may_match(target)
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move { self.check(attributes, actor).await.map(|()| None) }.boxed()
    }
}
