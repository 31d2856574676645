//! ClusterResourceQuota of `quota.openshift.io/v1`: a quota for several namespaces together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::{ResourceQuotaSpec, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use kube::core::{Selector, SelectorExt};
use serde::{Deserialize, Serialize};

/// Quota for the namespaces that a selector matches.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClusterResourceQuota {
    /// Object metadata.
    pub metadata: ObjectMeta,
    /// Desired quota.
    #[serde(default)]
    pub spec: ClusterQuotaSpec,
    /// Limits and usage.
    #[serde(default)]
    pub status: ClusterQuotaStatus,
}

/// Desired quota, and its namespaces.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClusterQuotaSpec {
    /// Limits.
    #[serde(default)]
    pub quota: ResourceQuotaSpec,
    /// Namespaces.
    #[serde(default)]
    pub selector: ClusterQuotaSelector,
}

/// Selector of namespaces by labels and annotations, both of which must match.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClusterQuotaSelector {
    labels: Option<LabelSelector>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Limits and usage.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClusterQuotaStatus {
    /// All namespaces together.
    #[serde(default)]
    pub total: ResourceQuotaStatus,
    /// Each namespace.
    #[serde(default)]
    pub namespaces: Option<Vec<NamespaceQuotaStatus>>,
}

/// Usage of one namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NamespaceQuotaStatus {
    /// Name of the namespace.
    pub namespace: String,
    /// Limits and usage.
    #[serde(default)]
    pub status: ResourceQuotaStatus,
}

impl ClusterQuotaSelector {
    /// Returns true if annotations are selected.
    pub fn has_annotations(&self) -> bool {
        self.annotations.as_ref().is_some_and(|wanted| !wanted.is_empty())
    }

    /// Returns true if the selector matches a namespace with these labels and annotations. As
    /// `GetMatcher` in library-go pkg/quota/clusterquotamapping/helpers.go. An invalid selector
    /// matches none.
    pub fn matches(
        &self,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> bool {
        let are_labels_selected = match self.labels.clone().map(Selector::try_from) {
            None => true,
            Some(Ok(selector)) => selector.matches(labels),
            Some(Err(_)) => false,
        };
        let mut wanted = self.annotations.iter().flatten();
        are_labels_selected && wanted.all(|(key, value)| annotations.get(key) == Some(value))
    }
}

impl Resource for ClusterResourceQuota {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ClusterResourceQuota".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "quota.openshift.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "clusterresourcequotas".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn is_match(selector: Value) -> bool {
        let selector: ClusterQuotaSelector = serde_json::from_value(selector).unwrap();
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        selector.matches(&map("team", "a"), &map("requester", "eve"))
    }

    #[test]
    fn labels_and_annotations_must_match() {
        let (team_a, team_b) =
            (json!({"matchLabels": {"team": "a"}}), json!({"matchLabels": {"team": "b"}}));
        assert!(is_match(json!({})) && is_match(json!({"labels": null, "annotations": null})));
        assert!(is_match(json!({"labels": team_a})));
        assert!(!is_match(json!({"labels": team_b})));
        assert!(is_match(json!({"annotations": {"requester": "eve"}})));
        assert!(!is_match(json!({"labels": team_a, "annotations": {"requester": "bob"}})));
        let invalid = json!({"matchExpressions": [{"key": "team", "operator": "Near"}]});
        assert!(!is_match(json!({"labels": invalid})));
    }
}
