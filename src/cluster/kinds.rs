//! Resources of kinds, from discovery.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use tokio::time::timeout;

use super::error_message;
use crate::runtime::SingleFlight;

/// Resources of the kinds of a cluster. Those of each API version are cached for a short time.
pub struct KindResources {
    client: Client,
    lists: SingleFlight<String, Result<Arc<APIResourceList>, KindError>>,
}

/// Resource of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindResource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// Scope.
    pub scope: KindScope,
}

/// Scope of the objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindScope {
    /// The whole cluster.
    Cluster,
    /// Namespaces.
    Namespaced,
}

/// Kind without a known resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// Malformed API version.
    #[error("unexpected GroupVersion string: {0}")]
    Malformed(String),
    /// No such kind in the cluster.
    #[error("no matches for kind {kind:?} in version {version:?}")]
    Unknown {
        /// Kind.
        kind: String,
        /// API version.
        version: String,
    },
    /// Failed request for the resources.
    #[error("cannot get the resources of {version}: {why}")]
    Unavailable {
        /// API version.
        version: String,
        /// Reason.
        why: String,
    },
}

/// Maximum number of cached lists.
const CAPACITY: usize = 128;
/// Time for which a list is cached.
const LIFETIME: Duration = Duration::from_secs(60);
/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);

impl KindResources {
    /// Resources of the cluster of this client.
    pub fn new(client: Client) -> Self {
        let lifetime =
            |list: &Result<_, KindError>| if list.is_ok() { LIFETIME } else { Duration::ZERO };
        Self { client, lists: SingleFlight::new(CAPACITY, lifetime) }
    }

    /// Returns the resources of a kind, without subresources. As `RESTMappings` in
    /// `k8s.io/client-go/restmapper/discovery.go`.
    ///
    /// # Errors
    /// A malformed version, an unknown kind, or a failed request.
    pub async fn of(&self, api_version: &str, kind: &str) -> Result<Vec<KindResource>, KindError> {
        let (group, version) = parse(api_version)?;
        let key = api_version.to_owned();
        let work = || list(self.client.clone(), api_version.to_owned());
        let known = self.lists.get(&key, work).await?;
        let of_kind = known.resources.iter().filter(|each| each.kind == kind);
        let found: Vec<KindResource> = of_kind
            .filter(|each| !each.name.contains('/'))
            .map(|each| KindResource {
                group: group.to_owned(),
                version: version.to_owned(),
                resource: each.name.clone(),
                scope: if each.namespaced { KindScope::Namespaced } else { KindScope::Cluster },
            })
            .collect();
        match found.is_empty() {
            true => Err(KindError::Unknown { kind: kind.to_owned(), version: key }),
            false => Ok(found),
        }
    }
}

/// Group and version of an API version. Both become parts of a path.
fn parse(api_version: &str) -> Result<(&str, &str), KindError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let is_plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
            && !text.contains("..")
    };
    let is_valid = is_plain(group) && is_plain(version) && !version.is_empty();
    let is_valid = is_valid && (!api_version.contains('/') || !group.is_empty());
    is_valid.then_some((group, version)).ok_or_else(|| KindError::Malformed(api_version.to_owned()))
}

async fn list(client: Client, version: String) -> Result<Arc<APIResourceList>, KindError> {
    let request = async {
        match version.contains('/') {
            true => client.list_api_group_resources(&version).await,
            false => client.list_core_api_resources(&version).await,
        }
    };
    let why = match timeout(TIMEOUT, request).await {
        Ok(Ok(list)) => return Ok(Arc::new(list)),
        // The cluster has no such version.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            return Ok(Arc::default());
        }
        Ok(Err(error)) => error_message(&error),
        Err(_) => format!("no response within {} s", TIMEOUT.as_secs()),
    };
    Err(KindError::Unavailable { version, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Cluster with the core resources `nodes`, `pods` and `pods/status`.
    fn client() -> Client {
        let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
            let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": []});
            let (code, body) = match request.uri().path() {
                "/api/v1" => {
                    let pods =
                        [resource("pods", "Pod", true), resource("pods/status", "Pod", true)];
                    let nodes = resource("nodes", "Node", false);
                    let all = json!({"groupVersion": "v1", "resources": [pods[0], pods[1], nodes]});
                    (200, all)
                }
                "/apis/down/v1" => (503, json!({"kind": "Status", "code": 503, "message": "down"})),
                _ => (404, json!({"kind": "Status", "code": 404, "message": "no"})),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn kinds_have_resources_without_subresources() {
        let kinds = KindResources::new(client());
        let pods = kinds.of("v1", "Pod").await.unwrap();
        let names: Vec<&str> = pods.iter().map(|each| each.resource.as_str()).collect();
        assert_eq!((names, pods[0].scope), (vec!["pods"], KindScope::Namespaced));
        assert_eq!(kinds.of("v1", "Node").await.unwrap()[0].scope, KindScope::Cluster);
    }

    #[tokio::test]
    async fn unknown_kinds_and_failures_differ() {
        let kinds = KindResources::new(client());
        let text = async |version: &str| kinds.of(version, "Foo").await.unwrap_err().to_string();
        assert_eq!(text("v1").await, "no matches for kind \"Foo\" in version \"v1\"");
        assert_eq!(
            text("example.com/v1").await,
            "no matches for kind \"Foo\" in version \"example.com/v1\""
        );
        assert!(text("down/v1").await.starts_with("cannot get the resources of down/v1: "));
        for malformed in ["", "a/b/c", "/v1", "../v1", "a/", "a?b/v1"] {
            assert_eq!(
                text(malformed).await,
                format!("unexpected GroupVersion string: {malformed}")
            );
        }
    }
}
