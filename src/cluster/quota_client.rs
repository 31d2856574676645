//! Usage of the quotas of a cluster, read and written without a cache.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::cluster_resource_quota::{ClusterResourceQuota, NamespaceQuotaStatus};
use super::error_message;
use crate::meta::Quantity;

/// Client for the usage of quotas.
#[derive(Clone)]
pub struct QuotaClient(Client);

/// Place of a quota.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaPlace {
    /// ResourceQuota of a namespace.
    Namespace {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// ClusterResourceQuota.
    Cluster {
        /// Name.
        name: String,
    },
}

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Quota with the limits that are in force.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Place.
    pub place: QuotaPlace,
    /// Limits.
    pub hard: Amounts,
    /// Usage. A resource without an amount is not counted yet.
    pub used: Amounts,
    /// True if the quota is for a part of the objects, such as pods of a priority.
    pub is_scoped: bool,
    version: String,
    namespaces: Vec<NamespaceQuotaStatus>,
}

/// Outcome of a write of the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaWrite {
    /// The usage is stored.
    Stored,
    /// The quota has changed since it was read.
    Conflict,
    /// The quota was deleted.
    Gone,
}

/// Failed request for a quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaRequestError {
    /// Missing permission.
    #[error("{place}: {why}: allow this server's user to get {} and to patch their status \
             (manifests/base/rbac-server.yaml does)", place.plural())]
    Forbidden {
        /// Place of the quota.
        place: QuotaPlace,
        /// Message of the control plane.
        why: String,
    },
    /// No usable response.
    #[error("{place}: {why}")]
    Unavailable {
        /// Place of the quota.
        place: QuotaPlace,
        /// Cause.
        why: String,
    },
}

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);

impl QuotaPlace {
    /// Name of the quota.
    pub fn name(&self) -> &str {
        match self {
            Self::Namespace { name, .. } | Self::Cluster { name } => name,
        }
    }

    fn plural(&self) -> &'static str {
        match self {
            Self::Namespace { .. } => "resourcequotas",
            Self::Cluster { .. } => "clusterresourcequotas in quota.openshift.io",
        }
    }
}

impl fmt::Display for QuotaPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace { namespace, name } => write!(f, "ResourceQuota {namespace}/{name}"),
            Self::Cluster { name } => write!(f, "ClusterResourceQuota {name}"),
        }
    }
}

impl QuotaClient {
    /// Client for the quotas of a cluster.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Reads a quota; `None` if it does not exist.
    ///
    /// # Errors
    /// No permission, or no response.
    pub async fn get(&self, place: &QuotaPlace) -> Result<Option<Quota>, QuotaRequestError> {
        match place {
            QuotaPlace::Namespace { namespace, name } => {
                let api = Api::<ResourceQuota>::namespaced(self.0.clone(), namespace);
                let found = send(place, api.get_opt(name)).await?;
                Ok(found.map(|quota| Quota::of_namespace(place, quota)))
            }
            QuotaPlace::Cluster { name } => {
                let api = Api::<ClusterResourceQuota>::all(self.0.clone());
                let found = send(place, api.get_opt(name)).await?;
                Ok(found.map(|quota| Quota::of_cluster(place, quota)))
            }
        }
    }

    /// Sets the usage of some resources, unless the quota has changed since it was read. In a
    /// ClusterResourceQuota the change counts for `namespace`.
    ///
    /// # Errors
    /// No permission, or no response.
    pub async fn set_used(
        &self,
        quota: &Quota,
        namespace: &str,
        used: &Amounts,
    ) -> Result<QuotaWrite, QuotaRequestError> {
        let (place, params) = (&quota.place, PatchParams::default());
        let patch = Patch::Merge(quota.patch(namespace, used));
        let outcome = match place {
            QuotaPlace::Namespace { namespace, name } => {
                let api = Api::<ResourceQuota>::namespaced(self.0.clone(), namespace);
                timeout(TIMEOUT, api.patch_status(name, &params, &patch))
                    .await
                    .map(|it| it.map(drop))
            }
            QuotaPlace::Cluster { name } => {
                let api = Api::<ClusterResourceQuota>::all(self.0.clone());
                timeout(TIMEOUT, api.patch_status(name, &params, &patch))
                    .await
                    .map(|it| it.map(drop))
            }
        };
        match outcome {
            Ok(Ok(())) => Ok(QuotaWrite::Stored),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Ok(QuotaWrite::Conflict),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(QuotaWrite::Gone),
            Ok(Err(error)) => Err(failure(place, &error)),
            Err(_) => Err(late(place)),
        }
    }
}

impl Quota {
    fn of_namespace(place: &QuotaPlace, quota: ResourceQuota) -> Self {
        let version = quota.resource_version().unwrap_or_default();
        let (spec, status) = (quota.spec.unwrap_or_default(), quota.status.unwrap_or_default());
        Self::new(place, version, &spec, &status)
    }

    fn of_cluster(place: &QuotaPlace, quota: ClusterResourceQuota) -> Self {
        let version = quota.resource_version().unwrap_or_default();
        let namespaces = quota.status.namespaces.unwrap_or_default();
        let read = Self::new(place, version, &quota.spec.quota, &quota.status.total);
        Self { namespaces, ..read }
    }

    fn new(
        place: &QuotaPlace,
        version: String,
        spec: &ResourceQuotaSpec,
        status: &ResourceQuotaStatus,
    ) -> Self {
        let has_scopes = spec.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty());
        Self {
            place: place.clone(),
            hard: amounts(status.hard.as_ref()),
            used: amounts(status.used.as_ref()),
            is_scoped: has_scopes || spec.scope_selector.is_some(),
            version,
            namespaces: Vec::new(),
        }
    }

    /// The merge patch of the usage. The resourceVersion makes it conflict with any other change.
    fn patch(&self, namespace: &str, used: &Amounts) -> Value {
        let metadata = json!({"resourceVersion": self.version});
        let status = match self.place {
            QuotaPlace::Namespace { .. } => json!({"used": texts(used)}),
            QuotaPlace::Cluster { .. } => {
                json!({"total": {"used": texts(used)}, "namespaces": self.shares(namespace, used)})
            }
        };
        json!({"metadata": metadata, "status": status})
    }

    /// The usage of all namespaces, after the usage of one of them has changed the total to `used`.
    fn shares(&self, namespace: &str, used: &Amounts) -> Vec<NamespaceQuotaStatus> {
        let mut shares = self.namespaces.clone();
        let at =
            shares.iter().position(|share| share.namespace == namespace).unwrap_or_else(|| {
                let namespace = namespace.to_owned();
                shares.push(NamespaceQuotaStatus { namespace, ..NamespaceQuotaStatus::default() });
                shares.len() - 1
            });
        let own = shares[at].status.used.get_or_insert_default();
        for (resource, total) in used {
            let before = self.used.get(resource).copied().unwrap_or(Quantity::of_count(0));
            let share = own.get(resource).and_then(|share| share.0.parse().ok());
            let share: Quantity = share.unwrap_or(Quantity::of_count(0));
            let share = share.plus(total.minus(before));
            own.insert(resource.clone(), TextQuantity(share.to_string()));
        }
        shares
    }
}

async fn send<T>(
    place: &QuotaPlace,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, QuotaRequestError> {
    match timeout(TIMEOUT, request).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(failure(place, &error)),
        Err(_) => Err(late(place)),
    }
}

fn failure(place: &QuotaPlace, error: &kube::Error) -> QuotaRequestError {
    let (place, why) = (place.clone(), error_message(error));
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            QuotaRequestError::Forbidden { place, why }
        }
        _ => QuotaRequestError::Unavailable { place, why },
    }
}

fn late(place: &QuotaPlace) -> QuotaRequestError {
    let why = format!("no response within {} s", TIMEOUT.as_secs());
    QuotaRequestError::Unavailable { place: place.clone(), why }
}

/// The amounts that can be read. kube-apiserver stores no others.
fn amounts(texts: Option<&BTreeMap<String, TextQuantity>>) -> Amounts {
    let texts = texts.into_iter().flatten();
    texts.filter_map(|(name, text)| Some((name.clone(), text.0.parse().ok()?))).collect()
}

fn texts(amounts: &Amounts) -> BTreeMap<&str, String> {
    amounts.iter().map(|(name, amount)| (name.as_str(), amount.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(count: u64) -> Amounts {
        Amounts::from([("streams".to_owned(), Quantity::of_count(count))])
    }

    #[test]
    fn patch_changes_only_the_usage_of_the_version_that_was_read() {
        let place = QuotaPlace::Namespace { namespace: "ns".into(), name: "q".into() };
        let quota = json!({
            "metadata": {"namespace": "ns", "name": "q", "resourceVersion": "7"},
            "spec": {"hard": {"streams": "9"}, "scopes": ["Terminating"]},
            "status": {"hard": {"streams": "9"}, "used": {"streams": "1", "pods": "4"}},
        });
        let quota = Quota::of_namespace(&place, serde_json::from_value(quota).unwrap());
        assert!(quota.is_scoped);
        assert_eq!(quota.used["pods"], Quantity::of_count(4));
        let patch = json!({
            "metadata": {"resourceVersion": "7"}, "status": {"used": {"streams": "2"}},
        });
        assert_eq!(quota.patch("ns", &used(2)), patch);
    }

    #[test]
    fn usage_of_a_cluster_quota_counts_for_the_namespace() {
        let place = QuotaPlace::Cluster { name: "q".into() };
        let share = |namespace: &str, streams: &str| json!({"namespace": namespace, "status": {"used": {"streams": streams}}});
        let status = json!({
            "total": {"hard": {"streams": "9"}, "used": {"streams": "5"}},
            "namespaces": [share("a", "2"), share("b", "3")],
        });
        let quota = json!({"metadata": {"name": "q", "resourceVersion": "7"}, "status": status});
        let quota = Quota::of_cluster(&place, serde_json::from_value(quota).unwrap());
        let total = json!({"used": {"streams": "6"}});
        let patch = |namespaces: Value| {
            json!({
                "metadata": {"resourceVersion": "7"},
                "status": {"total": total, "namespaces": namespaces},
            })
        };
        assert_eq!(quota.patch("b", &used(6)), patch(json!([share("a", "2"), share("b", "4")])));
        let new = json!([share("a", "2"), share("b", "3"), share("c", "1")]);
        assert_eq!(quota.patch("c", &used(6)), patch(new));
    }
}
