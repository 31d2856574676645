//! Check of the admission webhooks of the cluster.

use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::finding::Finding;
use crate::api::GROUP;
use crate::cluster::{Clients, FailurePolicy, Webhook, WebhookConfiguration, error_message};
use crate::registry::admission::selection::PluginName;
use crate::server::Options;

const SUBJECT: &str = "admission webhooks";

/// Lists the webhooks that concern the resources of this server.
pub(super) async fn check(options: &Options, clients: &Clients) -> Vec<Finding> {
    let runs = |name| !options.admission.disable_admission_plugins.contains(&name);
    let client = &clients.general;
    let mut findings = Vec::new();
    if runs(PluginName::MutatingAdmissionWebhook) {
        findings.extend(of_kind::<MutatingWebhookConfiguration>(client).await);
    }
    if runs(PluginName::ValidatingAdmissionWebhook) {
        findings.extend(of_kind::<ValidatingWebhookConfiguration>(client).await);
    }
    findings
}

async fn of_kind<C>(client: &Client) -> Vec<Finding>
where
    C: WebhookConfiguration + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (api, plural) = (Api::<C>::all(client.clone()), C::plural(&()));
    let configurations = match api.list(&ListParams::default()).await {
        Ok(configurations) => configurations,
        // The permissions have a finding of their own.
        Err(kube::Error::Api(status)) if [403, 404].contains(&status.code) => return Vec::new(),
        Err(error) => {
            let text = format!("cannot list {plural}: {}", error_message(&error));
            return vec![Finding::problem(SUBJECT, text)];
        }
    };
    let webhooks = configurations.items.iter().flat_map(WebhookConfiguration::webhooks);
    let concerned: Vec<Webhook> = webhooks.filter(|webhook| webhook.concerns(GROUP)).collect();
    let text = format!("{} of {plural} concern this API", concerned.len());
    let mut findings = vec![Finding::ok(SUBJECT, text)];
    let with_conditions = concerned.iter().filter(|webhook| webhook.has_match_conditions);
    findings.extend(with_conditions.map(with_match_conditions));
    findings
}

fn with_match_conditions(webhook: &Webhook) -> Finding {
    let Webhook { configuration, name, .. } = webhook;
    let text = format!(
        "the matchConditions of {name} in {configuration} cannot be evaluated by this server"
    );
    match webhook.failure_policy {
        FailurePolicy::Ignore => Finding::note(SUBJECT, format!("{text}, so it is not called")),
        FailurePolicy::Fail => {
            Finding::problem(SUBJECT, format!("{text}, so writes that its rules match are denied"))
                .remedy(format!("remove the conditions, or exclude {GROUP} from its rules"))
        }
    }
}
