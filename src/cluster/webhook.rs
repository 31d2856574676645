//! Admission webhooks as their configurations describe them, ready to be matched and called.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

/// Webhook of a configuration.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Name of the configuration.
    pub configuration: String,
    /// Name of the webhook.
    pub name: String,
    /// Identity among all webhooks, as `uid` in
    /// `k8s.io/apiserver/pkg/admission/configuration/mutating_webhook_manager.go`.
    pub key: String,
    /// Consequence of a failed call.
    pub failure_policy: FailurePolicy,
    /// Treatment of dry runs.
    pub side_effects: SideEffects,
    /// Calls after other webhooks changed the object.
    pub reinvocation: Reinvocation,
    /// Timeout of a call.
    pub timeout: Duration,
    /// Version of the AdmissionReview; `None` if this server knows none of the accepted ones.
    pub review_version: Option<ReviewVersion>,
    /// Place of the webhook.
    pub target: WebhookTarget,
    /// PEM bundle of trusted CAs; empty for those of the system.
    pub ca_bundle: Vec<u8>,
    /// True if CEL conditions further restrict the calls.
    pub has_match_conditions: bool,
    rules: Vec<RuleWithOperations>,
    namespace_selector: Result<Selector, String>,
    object_selector: Result<Selector, String>,
}

/// Consequence of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The write fails.
    Fail,
    /// The write goes on.
    Ignore,
}

/// Side effects of a webhook, as far as dry runs are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideEffects {
    /// A dry run may call the webhook.
    NoneOnDryRun,
    /// A dry run must fail.
    Some,
}

/// Calls of a mutating webhook after others changed the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reinvocation {
    /// One call for each write.
    Never,
    /// A second call if the object changed.
    IfNeeded,
}

/// Version of an AdmissionReview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewVersion {
    /// `admission.k8s.io/v1`.
    V1,
    /// `admission.k8s.io/v1beta1`.
    V1Beta1,
}

/// Place of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookTarget {
    /// URL, also that of a service.
    Url(String),
    /// Configuration without a place.
    Missing,
}

/// Write that rules are matched with.
#[derive(Clone, Copy, Debug)]
pub struct RuleSubject<'a> {
    /// Operation, such as `CREATE`.
    pub operation: &'a str,
    /// API group.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// Resource.
    pub resource: &'a str,
    /// Subresource; empty for the object itself.
    pub subresource: &'a str,
}

/// Phase in which a webhook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookPhase {
    /// Mutating webhooks.
    Mutating,
    /// Validating webhooks.
    Validating,
}

impl WebhookPhase {
    /// Name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }
}

/// Configuration with webhooks of one phase.
pub trait WebhookConfiguration {
    /// Returns the webhooks in their order.
    fn webhooks(&self) -> Vec<Webhook>;
}

impl Webhook {
    /// Returns true if a rule matches, whatever the namespace. As `Matcher.Matches` in
    /// `k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules/rules.go`.
    pub fn matches(&self, subject: &RuleSubject<'_>) -> bool {
        self.rules.iter().any(|rule| is_match(rule, subject))
    }

    /// Returns true if a rule matches in a namespace; it is empty for cluster-scoped objects.
    pub fn matches_in(&self, subject: &RuleSubject<'_>, namespace: &str) -> bool {
        let is_in_scope = |rule: &RuleWithOperations| match rule.scope.as_deref() {
            None | Some("*") => true,
            Some("Namespaced") => !namespace.is_empty(),
            Some("Cluster") => namespace.is_empty(),
            Some(_) => false,
        };
        self.rules.iter().any(|rule| is_in_scope(rule) && is_match(rule, subject))
    }

    /// Returns true if a rule can match a resource of an API group.
    pub fn concerns(&self, group: &str) -> bool {
        self.rules.iter().any(|rule| has(&rule.api_groups, group))
    }

    /// Returns true if the labels of the namespace decide about a call.
    pub fn selects_namespaces(&self) -> bool {
        !matches!(&self.namespace_selector, Ok(selector) if selector.selects_all())
    }

    /// Returns true if the selector matches the labels of a namespace.
    ///
    /// # Errors
    /// A sentence about an invalid selector.
    pub fn selects_namespace(&self, labels: &BTreeMap<String, String>) -> Result<bool, String> {
        Ok(self.namespace_selector.as_ref()?.matches(labels))
    }

    /// Returns true if the selector matches one of the states of an object. As
    /// `MatchObjectSelector` in
    /// `k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/object/matcher.go`.
    ///
    /// # Errors
    /// A sentence about an invalid selector.
    pub fn selects_object<'a>(
        &self,
        mut states: impl Iterator<Item = &'a BTreeMap<String, String>>,
    ) -> Result<bool, String> {
        let selector = self.object_selector.as_ref()?;
        Ok(selector.selects_all() || states.any(|labels| selector.matches(labels)))
    }
}

impl WebhookConfiguration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<Webhook> {
        let named = (&self.metadata.name, self.webhooks.iter().flatten());
        let parse = |webhook: &MutatingWebhook| {
            let webhook = webhook.clone();
            RawWebhook {
                name: webhook.name,
                client: webhook.client_config,
                rules: webhook.rules,
                failure_policy: webhook.failure_policy,
                side_effects: webhook.side_effects,
                reinvocation: webhook.reinvocation_policy,
                timeout_seconds: webhook.timeout_seconds,
                versions: webhook.admission_review_versions,
                namespaces: webhook.namespace_selector,
                objects: webhook.object_selector,
                has_conditions: webhook.match_conditions.is_some_and(|all| !all.is_empty()),
            }
        };
        parsed(named.0.as_deref().unwrap_or_default(), named.1.map(parse))
    }
}

impl WebhookConfiguration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<Webhook> {
        let named = (&self.metadata.name, self.webhooks.iter().flatten());
        let parse = |webhook: &ValidatingWebhook| {
            let webhook = webhook.clone();
            RawWebhook {
                name: webhook.name,
                client: webhook.client_config,
                rules: webhook.rules,
                failure_policy: webhook.failure_policy,
                side_effects: webhook.side_effects,
                reinvocation: None,
                timeout_seconds: webhook.timeout_seconds,
                versions: webhook.admission_review_versions,
                namespaces: webhook.namespace_selector,
                objects: webhook.object_selector,
                has_conditions: webhook.match_conditions.is_some_and(|all| !all.is_empty()),
            }
        };
        parsed(named.0.as_deref().unwrap_or_default(), named.1.map(parse))
    }
}

/// Fields that both kinds of webhooks have.
struct RawWebhook {
    name: String,
    client: WebhookClientConfig,
    rules: Option<Vec<RuleWithOperations>>,
    failure_policy: Option<String>,
    side_effects: String,
    reinvocation: Option<String>,
    timeout_seconds: Option<i32>,
    versions: Vec<String>,
    namespaces: Option<LabelSelector>,
    objects: Option<LabelSelector>,
    has_conditions: bool,
}

/// Timeout of a call if the webhook sets none.
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

fn parsed(configuration: &str, webhooks: impl Iterator<Item = RawWebhook>) -> Vec<Webhook> {
    let mut earlier: HashMap<String, usize> = HashMap::new();
    webhooks
        .map(|webhook| {
            let number = earlier.entry(webhook.name.clone()).or_default();
            let key = format!("{configuration}/{}/{number}", webhook.name);
            *number += 1;
            parse(configuration, key, webhook)
        })
        .collect()
}

fn parse(configuration: &str, key: String, webhook: RawWebhook) -> Webhook {
    let RawWebhook { name, client, failure_policy, side_effects, reinvocation, .. } = webhook;
    let seconds = webhook.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let version = webhook.versions.iter().find_map(|version| match version.as_str() {
        "v1" => Some(ReviewVersion::V1),
        "v1beta1" => Some(ReviewVersion::V1Beta1),
        _ => None,
    });
    Webhook {
        configuration: configuration.to_owned(),
        name,
        key,
        failure_policy: match failure_policy.as_deref() {
            Some("Ignore") => FailurePolicy::Ignore,
            _ => FailurePolicy::Fail,
        },
        side_effects: match side_effects.as_str() {
            "None" | "NoneOnDryRun" => SideEffects::NoneOnDryRun,
            _ => SideEffects::Some,
        },
        reinvocation: match reinvocation.as_deref() {
            Some("IfNeeded") => Reinvocation::IfNeeded,
            _ => Reinvocation::Never,
        },
        timeout: Duration::from_secs(seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS)),
        review_version: version,
        target: target(&client),
        ca_bundle: client.ca_bundle.map(|bundle| bundle.0).unwrap_or_default(),
        has_match_conditions: webhook.has_conditions,
        rules: webhook.rules.unwrap_or_default(),
        namespace_selector: selector(webhook.namespaces),
        object_selector: selector(webhook.objects),
    }
}

/// URL of a webhook. That of a service has the name that its certificate must have, as
/// `hookClientConfig` in `k8s.io/apiserver/pkg/util/webhook/client.go`.
fn target(client: &WebhookClientConfig) -> WebhookTarget {
    match (&client.service, &client.url) {
        (Some(service), _) => {
            let port = service.port.unwrap_or(443);
            let path = service.path.as_deref().unwrap_or_default().trim_start_matches('/');
            let (name, namespace) = (&service.name, &service.namespace);
            WebhookTarget::Url(format!("https://{name}.{namespace}.svc:{port}/{path}"))
        }
        (None, Some(url)) => WebhookTarget::Url(url.clone()),
        (None, None) => WebhookTarget::Missing,
    }
}

fn selector(selector: Option<LabelSelector>) -> Result<Selector, String> {
    selector.map_or_else(
        || Ok(Selector::default()),
        |selector| Selector::try_from(selector).map_err(|why| why.to_string()),
    )
}

/// Returns true if a part of a rule has a value or `*`.
fn has(items: &Option<Vec<String>>, wanted: &str) -> bool {
    items.iter().flatten().any(|item| item == "*" || item == wanted)
}

/// Matches all parts of a rule except the scope.
fn is_match(rule: &RuleWithOperations, subject: &RuleSubject<'_>) -> bool {
    has(&rule.operations, subject.operation)
        && has(&rule.api_groups, subject.group)
        && has(&rule.api_versions, subject.version)
        && rule.resources.iter().flatten().any(|item| {
            let (resource, subresource) = item.split_once('/').unwrap_or((item, ""));
            (resource == "*" || resource == subject.resource)
                && (subresource == "*" || subresource == subject.subresource)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn webhook(fields: Value) -> Webhook {
        let mut webhook = json!({
            "name": "w.example.com", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        });
        let all = webhook.as_object_mut().unwrap();
        all.extend(fields.as_object().unwrap().clone());
        let configuration = json!({"metadata": {"name": "c"}, "webhooks": [webhook]});
        let configuration: MutatingWebhookConfiguration =
            serde_json::from_value(configuration).unwrap();
        configuration.webhooks().remove(0)
    }

    fn rule(fields: Value) -> Webhook {
        let mut rule = json!({
            "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
        });
        rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        webhook(json!({"rules": [rule]}))
    }

    const STREAM: RuleSubject<'static> = RuleSubject {
        operation: "CREATE",
        group: "image.openshift.io",
        version: "v1",
        resource: "imagestreams",
        subresource: "",
    };
    const STATUS: RuleSubject<'static> = RuleSubject { subresource: "status", ..STREAM };

    #[test]
    fn every_part_of_a_rule_must_match() {
        assert!(rule(json!({})).matches(&STREAM));
        for (field, others, own) in [
            ("operations", json!(["UPDATE", "DELETE"]), json!(["UPDATE", "CREATE"])),
            ("apiGroups", json!(["", "apps"]), json!(["image.openshift.io"])),
            ("apiVersions", json!(["v1beta1"]), json!(["v1"])),
            ("resources", json!(["images", "imagestreams/status"]), json!(["imagestreams"])),
        ] {
            assert!(!rule(json!({field: others})).matches(&STREAM), "{field}");
            assert!(rule(json!({field: own})).matches(&STREAM), "{field}");
            assert!(!rule(json!({field: []})).matches(&STREAM), "{field}");
        }
        assert!(!webhook(json!({})).matches(&STREAM));
        let of_apps = rule(json!({"apiGroups": ["apps"]}));
        assert!(of_apps.concerns("apps") && !of_apps.concerns("image.openshift.io"));
    }

    #[test]
    fn wildcards_for_resources_distinguish_subresources() {
        for (resources, object, status) in [
            ("*", true, false),
            ("*/*", true, true),
            ("*/status", false, true),
            ("imagestreams/*", true, true),
            ("imagestreams/status", false, true),
            ("imagestreams", true, false),
            ("imagestream", false, false),
        ] {
            let webhook = rule(json!({"resources": [resources]}));
            assert_eq!(
                (webhook.matches(&STREAM), webhook.matches(&STATUS)),
                (object, status),
                "{resources}"
            );
        }
    }

    #[test]
    fn scope_is_that_of_the_object() {
        for (scope, namespaced, cluster) in
            [("*", true, true), ("Namespaced", true, false), ("Cluster", false, true)]
        {
            let webhook = rule(json!({"scope": scope}));
            assert!(webhook.matches(&STREAM));
            let found = (webhook.matches_in(&STREAM, "lab"), webhook.matches_in(&STREAM, ""));
            assert_eq!(found, (namespaced, cluster), "{scope}");
        }
    }

    #[test]
    fn selectors_match_either_state_of_the_object() {
        let labels = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
        let (a, b) = (labels("a"), labels("b"));
        let selector = json!({"matchLabels": {"team": "a"}});
        let webhook = webhook(json!({"objectSelector": selector, "namespaceSelector": selector}));
        assert_eq!(webhook.selects_object([&a, &b].into_iter()), Ok(true));
        assert_eq!(webhook.selects_object([&b].into_iter()), Ok(false));
        assert_eq!(webhook.selects_object([].into_iter()), Ok(false));
        assert!(webhook.selects_namespaces());
        assert_eq!(webhook.selects_namespace(&b), Ok(false));
        let all = super::tests::webhook(json!({"objectSelector": {}}));
        assert_eq!(all.selects_object([].into_iter()), Ok(true));
        assert!(!all.selects_namespaces());
    }

    #[test]
    fn webhooks_have_the_defaults_of_the_api() {
        let service = json!({"name": "s", "namespace": "n", "path": "/a/b", "port": 8443});
        let found = webhook(json!({
            "clientConfig": {"service": service}, "failurePolicy": "Ignore", "sideEffects": "Unknown",
            "reinvocationPolicy": "IfNeeded", "timeoutSeconds": 3, "admissionReviewVersions": ["v2", "v1beta1"],
        }));
        assert_eq!(found.target, WebhookTarget::Url("https://s.n.svc:8443/a/b".into()));
        assert_eq!(found.failure_policy, FailurePolicy::Ignore);
        assert_eq!(found.side_effects, SideEffects::Some);
        assert_eq!(found.reinvocation, Reinvocation::IfNeeded);
        assert_eq!(found.timeout, Duration::from_secs(3));
        assert_eq!(found.review_version, Some(ReviewVersion::V1Beta1));
        assert_eq!(found.key, "c/w.example.com/0");
        let service = json!({"name": "s", "namespace": "n"});
        let least = webhook(json!({"clientConfig": {"service": service}}));
        assert_eq!(least.target, WebhookTarget::Url("https://s.n.svc:443/".into()));
        assert_eq!(least.failure_policy, FailurePolicy::Fail);
        assert_eq!(least.timeout, Duration::from_secs(10));
    }
}
