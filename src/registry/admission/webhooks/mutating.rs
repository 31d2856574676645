//! Mutating webhooks, called one after the other.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::call::{CallOutcome, failed};
use super::review::ReviewBody;
use super::rules::{WebhookCalls, internal, is_needed};
use crate::cluster::{Reinvocation, Webhook, WebhookPhase};
use crate::machinery::body_cost;
use crate::machinery::patch::AdmissionPatch;
use crate::meta::{Status, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionPhase, AdmissionTarget,
};
use crate::registry::admission::plugin::AdmissionPlugin;
use crate::telemetry::admission_metrics::WebhookRejection;

/// Calls the mutating webhooks of the cluster, as `mutatingDispatcher` in
/// k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go.
pub struct MutatingWebhooks(WebhookCalls);

const JSON_PATCH: &str = "application/json-patch+json";

/// The webhooks that a change by a later one calls again.
#[derive(Default)]
struct Reinvocations {
    /// Called ones that want a second call, since the last change.
    called: HashSet<String>,
    /// Those to call again.
    due: HashSet<String>,
}

impl MutatingWebhooks {
    /// The plugin for these webhooks.
    pub fn new(calls: WebhookCalls) -> Self {
        Self(calls)
    }

    async fn run(&self, attributes: &mut AdmissionAttributes, actor: &Actor) -> Result<(), Status> {
        let webhooks = self.0.webhooks(attributes, actor).await?;
        let mut reinvocations = Reinvocations::default();
        self.round(0, &webhooks, attributes, actor, &mut reinvocations).await?;
        if reinvocations.due.is_empty() {
            return Ok(());
        }
        self.round(1, &webhooks, attributes, actor, &mut reinvocations).await
    }

    async fn round(
        &self,
        round: u8,
        webhooks: &[Arc<Webhook>],
        attributes: &mut AdmissionAttributes,
        actor: &Actor,
        reinvocations: &mut Reinvocations,
    ) -> Result<(), Status> {
        for (index, webhook) in webhooks.iter().enumerate() {
            if round > 0 && !reinvocations.due.contains(&webhook.key) {
                continue;
            }
            if !is_needed(webhook, attributes, actor).await? {
                continue;
            }
            let place = format!("round_{round}_index_{index}");
            let is_changed = self.call(&place, webhook, attributes, actor).await?;
            if is_changed {
                reinvocations.due.extend(reinvocations.called.drain());
            }
            if webhook.reinvocation == Reinvocation::IfNeeded {
                reinvocations.called.insert(webhook.key.clone());
            }
        }
        Ok(())
    }

    /// Calls a webhook and applies its patch. Returns true if the object changed.
    async fn call(
        &self,
        place: &str,
        webhook: &Webhook,
        attributes: &mut AdmissionAttributes,
        actor: &Actor,
    ) -> Result<bool, Status> {
        let body = ReviewBody::new(attributes, actor);
        let outcome = self.0.call(webhook, WebhookPhase::Mutating, &body, actor).await?;
        let result = match outcome {
            CallOutcome::Allowed(Some(patch)) => {
                let cost = body_cost::decoded_bytes(JSON_PATCH, &patch);
                actor.load.reserve_more(cost).await?;
                patched(webhook, attributes, &patch).inspect_err(|_| {
                    let internal = WebhookRejection::Internal;
                    self.0.record_rejection(webhook, WebhookPhase::Mutating, &body, internal);
                })?
            }
            CallOutcome::Allowed(None) => Patched::No,
            CallOutcome::FailedOpen => Patched::FailedOpen,
        };
        if result == Patched::FailedOpen {
            let key = format!("failed-open.mutation.webhook.admission.k8s.io/{place}");
            actor.notes.annotate(key, webhook.name.clone());
        }
        let Webhook { configuration, name, .. } = webhook;
        let is_changed = result == Patched::Changed;
        let value = json!({"configuration": configuration, "webhook": name, "mutated": is_changed});
        let key = format!("mutation.webhook.admission.k8s.io/{place}");
        actor.notes.annotate(key, value.to_string());
        Ok(is_changed)
    }
}

impl AdmissionPlugin for MutatingWebhooks {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        phase == AdmissionPhase::Mutate && self.0.may_match(target)
    }

    fn mutate<'a>(
        &'a self,
        attributes: &'a mut AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<(), Status>> {
        self.run(attributes, actor).boxed()
    }
}

/// The result of applying a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patched {
    Changed,
    No,
    FailedOpen,
}

fn patched(
    webhook: &Webhook,
    attributes: &mut AdmissionAttributes,
    patch: &[u8],
) -> Result<Patched, Status> {
    let patch = match AdmissionPatch::read(patch) {
        Ok(patch) if patch.is_empty() => return Ok(Patched::No),
        Ok(patch) => patch,
        Err(why) => {
            let error = format!("received undecodable patch in webhook response: {why}");
            return failed(webhook, &error).map(|_| Patched::FailedOpen);
        }
    };
    let Some(object) = &attributes.new else {
        let name = field::quote(&webhook.name);
        return Err(internal(&format!(
            "admission webhook {name} attempted to modify the object, which is not supported for this operation"
        )));
    };
    let before = object.to_value(attributes.target.api);
    let after = patch.apply_to(&before).map_err(|why| internal(&why))?;
    let after = object.decode(after).map_err(|why| internal(&why))?;
    let is_changed = after.to_value(attributes.target.api) != before;
    attributes.new = Some(after);
    Ok(if is_changed { Patched::Changed } else { Patched::No })
}
