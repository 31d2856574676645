//! Webhooks of all configurations of a phase.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::ResourceExt;
use tracing::warn;

use super::object_watch::WatchSubject;
use super::rules::RuleSource;
use super::webhook::{Webhook, WebhookConfiguration};

/// Webhooks of all configurations of a phase, in the order of their calls: sorted by the names of
/// the configurations.
#[derive(Clone, Debug, Default)]
pub struct WebhookSet {
    by_configuration: BTreeMap<String, Vec<Arc<Webhook>>>,
    all: Arc<[Arc<Webhook>]>,
}

impl WebhookSet {
    /// Returns the webhooks in the order of their calls.
    pub fn all(&self) -> &Arc<[Arc<Webhook>]> {
        &self.all
    }

    fn set(&mut self, configuration: String, webhooks: Vec<Webhook>) {
        for webhook in webhooks.iter().filter(|webhook| webhook.has_match_conditions) {
            let (configuration, name) = (&webhook.configuration, &webhook.name);
            warn!(
                configuration,
                webhook = name,
                "this server cannot evaluate the matchConditions of a webhook; its failurePolicy applies to writes that \
                 its rules match"
            );
        }
        let webhooks = webhooks.into_iter().map(Arc::new).collect();
        self.by_configuration.insert(configuration, webhooks);
        self.collect();
    }

    fn remove(&mut self, configuration: &str) -> bool {
        let is_known = self.by_configuration.remove(configuration).is_some();
        self.collect();
        is_known
    }

    fn collect(&mut self) {
        self.all = self.by_configuration.values().flatten().cloned().collect();
    }
}

impl RuleSource for MutatingWebhookConfiguration {
    type Rules = WebhookSet;

    const NAME: &'static str = "mutating-webhooks";
    const SUBJECT: WatchSubject = WatchSubject {
        what: "the mutating webhook configurations of the cluster",
        if_forbidden: "allow this server's user to get, list and watch mutatingwebhookconfigurations in \
                       admissionregistration.k8s.io (manifests/base/rbac-server.yaml does)",
    };

    fn apply(self, rules: &mut WebhookSet) -> bool {
        rules.set(self.name_any(), WebhookConfiguration::webhooks(&self));
        true
    }

    fn remove(&self, rules: &mut WebhookSet) -> bool {
        rules.remove(&self.name_any())
    }
}

impl RuleSource for ValidatingWebhookConfiguration {
    type Rules = WebhookSet;

    const NAME: &'static str = "validating-webhooks";
    const SUBJECT: WatchSubject = WatchSubject {
        what: "the validating webhook configurations of the cluster",
        if_forbidden: "allow this server's user to get, list and watch validatingwebhookconfigurations in \
                       admissionregistration.k8s.io (manifests/base/rbac-server.yaml does)",
    };

    fn apply(self, rules: &mut WebhookSet) -> bool {
        rules.set(self.name_any(), WebhookConfiguration::webhooks(&self));
        true
    }

    fn remove(&self, rules: &mut WebhookSet) -> bool {
        rules.remove(&self.name_any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn webhooks_are_sorted_by_configuration() {
        let configuration = |name: &str, webhooks: &[&str]| -> MutatingWebhookConfiguration {
            let webhook = |name: &&str| {
                json!({
                    "name": name, "clientConfig": {}, "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                })
            };
            let webhooks: Vec<serde_json::Value> = webhooks.iter().map(webhook).collect();
            serde_json::from_value(json!({"metadata": {"name": name}, "webhooks": webhooks}))
                .unwrap()
        };
        let mut set = WebhookSet::default();
        let names = |set: &WebhookSet| -> Vec<String> {
            set.all().iter().map(|webhook| webhook.name.clone()).collect()
        };
        let b = configuration("b", &["three"]);
        assert!(b.clone().apply(&mut set));
        configuration("a", &["one", "two"]).apply(&mut set);
        assert_eq!(names(&set), ["one", "two", "three"]);
        configuration("a", &["four"]).apply(&mut set);
        assert_eq!(names(&set), ["four", "three"]);
        assert!(RuleSource::remove(&b, &mut set) && !RuleSource::remove(&b, &mut set));
        assert_eq!(names(&set), ["four"]);
    }
}
