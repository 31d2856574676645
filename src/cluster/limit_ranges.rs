//! Limits of LimitRanges of given types, by namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use kube::ResourceExt;

use super::by_namespace::ByNamespace;
use super::object_watch::WatchSubject;
use super::rules::RuleSource;
use crate::meta::Quantity;

/// Limits of LimitRanges of these types, by namespace.
#[derive(Clone, Debug)]
pub struct NamespaceLimits {
    types: &'static [&'static str],
    ranges: ByNamespace<Vec<LimitItem>>,
}

/// Maximum amounts for objects of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LimitItem {
    limit_type: String,
    max: BTreeMap<String, Quantity>,
}

impl NamespaceLimits {
    /// No limits of these types, such as `openshift.io/Image`.
    pub fn of_types(types: &'static [&'static str]) -> Self {
        Self { types, ranges: ByNamespace::default() }
    }

    /// Returns true if a namespace has limits.
    pub fn has(&self, namespace: &str) -> bool {
        self.ranges.has(namespace)
    }

    /// Returns true if no namespace has limits.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the smallest maximum of a resource for objects of a type.
    pub fn max(&self, namespace: &str, limit_type: &str, resource: &str) -> Option<Quantity> {
        let items = self.ranges.of(namespace).flat_map(|(_, items)| items);
        let items = items.filter(|item| item.limit_type == limit_type);
        items.filter_map(|item| item.max.get(resource)).min().copied()
    }
}

impl RuleSource for LimitRange {
    type Rules = NamespaceLimits;

    const NAME: &'static str = "limit-ranges";
    const SUBJECT: WatchSubject = WatchSubject {
        what: "the limit ranges of the cluster",
        if_forbidden: "allow this server's user to get, list and watch limitranges \
                       (manifests/base/rbac-server.yaml does)",
    };

    fn apply(self, rules: &mut NamespaceLimits) -> bool {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let items = self.spec.into_iter().flat_map(|spec| spec.limits);
        let items = items.filter(|item| rules.types.contains(&item.type_.as_str())).map(read);
        let items: Vec<LimitItem> = items.collect();
        rules.ranges.set(namespace, name, (!items.is_empty()).then_some(items))
    }

    fn remove(&self, rules: &mut NamespaceLimits) -> bool {
        rules.ranges.remove(&self.namespace().unwrap_or_default(), &self.name_any())
    }
}

/// The amounts that can be read. kube-apiserver stores no others.
fn read(item: LimitRangeItem) -> LimitItem {
    let max = item.max.unwrap_or_default().into_iter();
    let max = max.filter_map(|(name, text)| Some((name, text.0.parse().ok()?))).collect();
    LimitItem { limit_type: item.type_, max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn range(name: &str, limits: &Value) -> LimitRange {
        let metadata = json!({"namespace": "ns", "name": name});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"limits": limits}})).unwrap()
    }

    #[test]
    fn smallest_maximum_of_the_namespace_counts() {
        let mut limits = NamespaceLimits::of_types(&["Image"]);
        let item =
            |limit_type: &str, max: &str| json!({"type": limit_type, "max": {"storage": max}});
        let pods = range("pods", &json!([item("Pod", "1")]));
        assert!(!pods.apply(&mut limits) && limits.is_empty());
        assert!(range("a", &json!([item("Image", "2Ki"), item("Pod", "1")])).apply(&mut limits));
        assert!(range("b", &json!([item("Image", "2k"), item("Image", "3k")])).apply(&mut limits));
        let max = |limits: &NamespaceLimits, namespace: &str| {
            limits.max(namespace, "Image", "storage").map(|max| max.to_string())
        };
        assert_eq!(max(&limits, "ns").as_deref(), Some("2k"));
        assert_eq!((max(&limits, "other"), limits.max("ns", "Pod", "storage")), (None, None));
        assert!(range("b", &json!([])).apply(&mut limits));
        assert_eq!(max(&limits, "ns").as_deref(), Some("2Ki"));
        assert!(!range("a", &json!([item("Image", "2Ki")])).apply(&mut limits), "nothing new");
        assert!(RuleSource::remove(&range("a", &json!([])), &mut limits) && !limits.has("ns"));
    }
}
