//! Selection of the webhooks that a write needs.

use std::sync::Arc;

use crate::cluster::{
    ClusterRules, FailurePolicy, RuleSubject, Webhook, WebhookClient, WebhookSet,
};
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{AdmissionAttributes, AdmissionTarget, WriteOrigin};
use crate::registry::admission::unknown_rules::UnknownRules;
use crate::telemetry::admission_metrics::AdmissionMetrics;

/// The webhooks of one phase, with the client that calls them.
pub struct WebhookCalls {
    /// The webhooks.
    pub rules: ClusterRules<WebhookSet>,
    /// The HTTP client.
    pub client: Arc<WebhookClient>,
    /// The treatment of writes while the webhooks are unknown.
    pub unknown: UnknownRules,
    /// The metrics of calls.
    pub metrics: AdmissionMetrics,
}

impl WebhookCalls {
    /// Returns true if a webhook may have to be called for such writes.
    pub(super) fn may_match(&self, target: &AdmissionTarget) -> bool {
        target.origin == WriteOrigin::Request
            && self.current().is_none_or(|webhooks| {
                let subject = subject(target);
                webhooks.iter().any(|webhook| webhook.matches(&subject))
            })
    }

    /// The webhooks of the cluster.
    ///
    /// # Errors
    /// 403 while they are unknown, unless writes go on.
    pub(super) async fn webhooks(
        &self,
        attributes: &AdmissionAttributes,
        actor: &Actor,
    ) -> Result<Arc<[Arc<Webhook>]>, Status> {
        self.unknown.wait_for(&self.rules, "admission webhooks", attributes, actor).await?;
        Ok(self.current().unwrap_or_default())
    }

    fn current(&self) -> Option<Arc<[Arc<Webhook>]>> {
        self.rules.read(|webhooks| webhooks.all().clone())
    }
}

/// Returns true if a webhook must be called for a write. As `ShouldCallHook` in
/// k8s.io/apiserver/pkg/admission/plugin/webhook/generic/webhook.go.
///
/// # Errors
/// 404 for a missing namespace, 403 for conditions that cannot be evaluated, 500 for an invalid
/// selector, 503 if the labels of the namespace are not known.
pub(super) async fn is_needed(
    webhook: &Webhook,
    attributes: &AdmissionAttributes,
    actor: &Actor,
) -> Result<bool, Status> {
    let AdmissionAttributes { target, namespace, old, new, .. } = attributes;
    if !webhook.matches_in(&subject(target), namespace) {
        return Ok(false);
    }
    let states = [new, old].into_iter().flatten().map(|object| &object.metadata().labels);
    if !webhook.selects_object(states).map_err(|why| internal(&why))? {
        return Ok(false);
    }
    if !namespace.is_empty() && webhook.selects_namespaces() {
        let labels = actor.namespaces.labels(namespace).await;
        let labels = labels.map_err(|unknown| Status::unavailable(unknown.to_string()))?;
        let namespaces = GroupResource { group: "", name: "namespaces" };
        let labels = labels.ok_or_else(|| Status::not_found(namespaces, namespace))?;
        if !webhook.selects_namespace(&labels).map_err(|why| internal(&why))? {
            return Ok(false);
        }
    }
    match (webhook.has_match_conditions, webhook.failure_policy) {
        (false, _) => Ok(true),
        (true, FailurePolicy::Ignore) => Ok(false),
        (true, FailurePolicy::Fail) => Err(attributes.forbidden(&format!(
            "the matchConditions of the admission webhook {} cannot be evaluated by this server, and its failurePolicy is \
             Fail: remove the conditions, or exclude {} from its rules",
            field::quote(&webhook.name),
            target.resource
        ))),
    }
}

/// 500 with a text for the client, as `NewInternalError` in
/// k8s.io/apimachinery/pkg/api/errors/errors.go.
pub(super) fn internal(why: &str) -> Status {
    use crate::meta::{StatusCause, StatusDetails};
    let cause = StatusCause { message: why.to_owned(), ..StatusCause::default() };
    let text = format!("Internal error occurred: {why}");
    Status::failure(500, "InternalError", text)
        .with_details(StatusDetails { causes: vec![cause], ..StatusDetails::default() })
}

fn subject(target: &AdmissionTarget) -> RuleSubject<'static> {
    RuleSubject {
        operation: target.operation.as_str(),
        group: target.resource.group,
        version: target.api.version,
        resource: target.resource.name,
        subresource: target.subresource,
    }
}
