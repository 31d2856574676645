//! Quotas of the cluster that limit given resources, and their namespaces.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use super::by_namespace::ByNamespace;
use super::cluster_resource_quota::{ClusterQuotaSelector, ClusterResourceQuota};
use super::object_watch::WatchSubject;
use super::rules::RuleSource;

/// ResourceQuotas that limit one of these resources, by namespace and name.
#[derive(Clone, Debug)]
pub struct NamespaceQuotas {
    resources: &'static [&'static str],
    quotas: ByNamespace<LimitedResources>,
}

/// Resources that a quota limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LimitedResources {
    names: BTreeSet<&'static str>,
    /// Those with a limit in force and no usage.
    uncounted: BTreeSet<&'static str>,
}

/// ClusterResourceQuotas that limit one of these resources.
#[derive(Clone, Debug)]
pub struct ClusterQuotas {
    resources: &'static [&'static str],
    by_name: BTreeMap<String, ClusterQuotaSelector>,
}

impl NamespaceQuotas {
    /// No quotas of these resources, such as `count/imagestreams.image.openshift.io`.
    pub fn of_resources(resources: &'static [&'static str]) -> Self {
        Self { resources, quotas: ByNamespace::default() }
    }

    /// Returns true if there is no quota.
    pub fn is_empty(&self) -> bool {
        self.quotas.is_empty()
    }

    /// Returns true if a namespace has a quota.
    pub fn has(&self, namespace: &str) -> bool {
        self.quotas.has(namespace)
    }

    /// Names of the quotas of a namespace.
    pub fn names(&self, namespace: &str) -> Vec<String> {
        self.quotas.of(namespace).map(|(name, _)| name.clone()).collect()
    }

    /// Namespaces and names of the quotas that limit a resource.
    pub fn limiting(&self, resource: &str) -> BTreeSet<(String, String)> {
        self.places(|limited| limited.names.contains(resource))
    }

    /// Namespaces and names of the quotas that limit a resource and do not know its usage.
    pub fn without_usage(&self, resource: &str) -> BTreeSet<(String, String)> {
        self.places(|limited| limited.uncounted.contains(resource))
    }

    fn places(&self, wanted: impl Fn(&LimitedResources) -> bool) -> BTreeSet<(String, String)> {
        let quotas = self.quotas.all().filter(|(_, limited)| wanted(limited));
        quotas.map(|((namespace, name), _)| (namespace.clone(), name.clone())).collect()
    }
}

impl LimitedResources {
    /// The status has the limits in force; that of a new quota follows soon.
    fn of(
        resources: &[&'static str],
        spec: &ResourceQuotaSpec,
        status: &ResourceQuotaStatus,
    ) -> Self {
        let has = |amounts: &Option<BTreeMap<String, Quantity>>, name: &str| {
            amounts.as_ref().is_some_and(|amounts| amounts.contains_key(name))
        };
        let is_limited = |name: &&str| has(&spec.hard, name) || has(&status.hard, name);
        let is_uncounted = |name: &&str| has(&status.hard, name) && !has(&status.used, name);
        Self {
            names: resources.iter().copied().filter(is_limited).collect(),
            uncounted: resources.iter().copied().filter(is_uncounted).collect(),
        }
    }
}

impl ClusterQuotas {
    /// No quotas of these resources.
    pub fn of_resources(resources: &'static [&'static str]) -> Self {
        Self { resources, by_name: BTreeMap::new() }
    }

    /// Returns true if there is no quota.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Returns true if a quota selects namespaces by their annotations.
    pub fn select_annotations(&self) -> bool {
        self.by_name.values().any(ClusterQuotaSelector::has_annotations)
    }

    /// Names of the quotas of a namespace with these labels and annotations.
    pub fn names(
        &self,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let quotas = self.by_name.iter();
        let selected = quotas.filter(|(_, selector)| selector.matches(labels, annotations));
        selected.map(|(name, _)| name.clone()).collect()
    }
}

impl RuleSource for ResourceQuota {
    type Rules = NamespaceQuotas;

    const NAME: &'static str = "resource-quotas";
    const SUBJECT: WatchSubject = WatchSubject {
        what: "the resource quotas of the cluster",
        if_forbidden: "allow this server's user to get, list and watch resourcequotas \
                       (manifests/base/rbac-server.yaml does)",
    };

    fn apply(self, rules: &mut NamespaceQuotas) -> bool {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let (spec, status) = (self.spec.unwrap_or_default(), self.status.unwrap_or_default());
        let limited = LimitedResources::of(rules.resources, &spec, &status);
        rules.quotas.set(namespace, name, (!limited.names.is_empty()).then_some(limited))
    }

    fn remove(&self, rules: &mut NamespaceQuotas) -> bool {
        rules.quotas.remove(&self.namespace().unwrap_or_default(), &self.name_any())
    }
}

impl RuleSource for ClusterResourceQuota {
    type Rules = ClusterQuotas;

    const NAME: &'static str = "cluster-resource-quotas";
    const SUBJECT: WatchSubject = WatchSubject {
        what: "the cluster resource quotas",
        if_forbidden: "allow this server's user to get, list and watch clusterresourcequotas in quota.openshift.io \
                       (manifests/base/rbac-server.yaml does)",
    };

    fn apply(self, rules: &mut ClusterQuotas) -> bool {
        let name = self.name_any();
        let ClusterResourceQuota { spec, status, .. } = self;
        let limited = LimitedResources::of(rules.resources, &spec.quota, &status.total);
        match limited.names.is_empty() {
            true => rules.by_name.remove(&name).is_some(),
            false => {
                rules.by_name.insert(name, spec.selector);
                true
            }
        }
    }

    fn remove(&self, rules: &mut ClusterQuotas) -> bool {
        rules.by_name.remove(&self.name_any()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn quota(name: &str, spec: &str, status: &str) -> Value {
        json!({
            "metadata": {"namespace": "ns", "name": name},
            "spec": {"hard": {spec: "1"}}, "status": {"hard": {status: "1"}},
        })
    }

    #[test]
    fn quotas_of_given_resources_are_kept() {
        let mut quotas = NamespaceQuotas::of_resources(&["streams"]);
        let read = |quota: Value| -> ResourceQuota { serde_json::from_value(quota).unwrap() };
        assert!(!read(quota("pods", "pods", "pods")).apply(&mut quotas) && quotas.is_empty());
        assert!(read(quota("new", "streams", "pods")).apply(&mut quotas));
        assert!(read(quota("old", "pods", "streams")).apply(&mut quotas));
        assert_eq!(quotas.names("ns"), ["new", "old"]);
        assert_eq!(quotas.limiting("streams").len(), 2);
        let place = |name: &str| BTreeSet::from([("ns".to_owned(), name.to_owned())]);
        assert_eq!(quotas.without_usage("streams"), place("old"));
        let mut counted = quota("old", "pods", "streams");
        counted["status"]["used"] = json!({"streams": "0"});
        assert!(read(counted.clone()).apply(&mut quotas));
        assert!(quotas.without_usage("streams").is_empty());
        counted["status"]["used"] = json!({"streams": "1"});
        assert!(!read(counted).apply(&mut quotas), "nothing new");
        assert!(read(quota("old", "pods", "pods")).apply(&mut quotas));
        assert!(RuleSource::remove(&read(quota("new", "streams", "streams")), &mut quotas));
        assert!(quotas.is_empty() && !quotas.has("ns"));
    }

    #[test]
    fn cluster_quotas_select_namespaces() {
        let mut quotas = ClusterQuotas::of_resources(&["streams"]);
        let read = |name: &str, resource: &str| -> ClusterResourceQuota {
            let quota = json!({"hard": {resource: "1"}});
            let selector = json!({"annotations": {"owner": "eve"}});
            let spec = json!({"quota": quota, "selector": selector});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
        };
        assert!(!read("pods", "pods").apply(&mut quotas));
        assert!(read("streams", "streams").apply(&mut quotas));
        let annotations = BTreeMap::from([("owner".to_owned(), "eve".to_owned())]);
        assert_eq!(quotas.names(&BTreeMap::new(), &annotations), ["streams"]);
        assert!(quotas.names(&BTreeMap::new(), &BTreeMap::new()).is_empty());
        assert!(read("streams", "pods").apply(&mut quotas) && quotas.is_empty());
    }
}
