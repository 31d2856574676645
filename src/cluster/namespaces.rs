//! State of namespaces, from a watch and, for those that are not active, from a live request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use parking_lot::RwLock;

use super::error_message;
use super::object_watch::{WatchSubject, watch_collection};
use crate::meta::is_dns_label;

/// Namespaces of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Option<Arc<NamespaceCache>>);

/// State of a namespace, as admission sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// The namespace exists.
    Active,
    /// The namespace is being deleted.
    Terminating,
    /// The namespace does not exist.
    Missing,
}

/// Failed request for a namespace that the watch has not reported.
#[derive(Debug, thiserror::Error)]
#[error("cannot get the namespace {name:?} from the control plane: {why}")]
pub struct NamespaceUnavailable {
    name: String,
    why: String,
}

/// Reflector that keeps the cache of [`Namespaces`] current, by a list and a watch.
pub struct NamespaceReflector(Arc<NamespaceCache>);

struct NamespaceCache {
    api: Api<Namespace>,
    known: RwLock<HashMap<String, KnownNamespace>>,
}

/// Facts about a namespace.
#[derive(Clone)]
struct KnownNamespace {
    state: NamespaceState,
    labels: Arc<BTreeMap<String, String>>,
}

/// Timeout of a live request.
const TIMEOUT: Duration = Duration::from_secs(5);

const SUBJECT: WatchSubject = WatchSubject {
    what: "the namespaces of the cluster",
    if_forbidden: "allow this server's user to get, list and watch namespaces (manifests/base/rbac-server.yaml does)",
};

impl Namespaces {
    /// Namespaces without a cluster: every valid name is active.
    pub fn all() -> Self {
        Self(None)
    }

    /// Namespaces of a cluster, and the reflector that must run to keep them current.
    pub fn of(client: Client) -> (Self, NamespaceReflector) {
        let cache = Arc::new(NamespaceCache { api: Api::all(client), known: RwLock::default() });
        (Self(Some(cache.clone())), NamespaceReflector(cache))
    }

    /// Returns the state of a namespace.
    ///
    /// Only the state `Active` is taken from the cache, so that a new namespace counts at once;
    /// compare the live lookup of `Lifecycle.Admit` in
    /// `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go`.
    ///
    /// # Errors
    /// The live request failed, and the cache has no state.
    pub async fn state(&self, name: &str) -> Result<NamespaceState, NamespaceUnavailable> {
        match &self.0 {
            _ if !is_dns_label(name) => Ok(NamespaceState::Missing),
            None => Ok(NamespaceState::Active),
            Some(cache) => cache.state(name).await,
        }
    }

    /// Returns true if [`Namespaces::state`] would return `Active` without a request.
    pub fn is_known_active(&self, name: &str) -> bool {
        is_dns_label(name) && self.0.as_ref().is_none_or(|cache| cache.is_known_active(name))
    }

    /// Returns the labels of a namespace; `None` if it does not exist. Without a cluster, namespaces
    /// have no labels.
    ///
    /// # Errors
    /// The live request failed, and the cache has no labels.
    pub async fn labels(
        &self,
        name: &str,
    ) -> Result<Option<Arc<BTreeMap<String, String>>>, NamespaceUnavailable> {
        match &self.0 {
            _ if !is_dns_label(name) => Ok(None),
            None => Ok(Some(Arc::default())),
            Some(cache) => cache.labels(name).await,
        }
    }

    /// Returns the annotations of a namespace; `None` if it does not exist. They are not cached,
    /// because they can be large. Without a cluster, namespaces have no annotations.
    ///
    /// # Errors
    /// The live request failed.
    pub async fn annotations(
        &self,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, NamespaceUnavailable> {
        match &self.0 {
            _ if !is_dns_label(name) => Ok(None),
            None => Ok(Some(BTreeMap::new())),
            Some(cache) => {
                let found = cache.get(name).await?;
                Ok(found.map(|namespace| namespace.metadata.annotations.unwrap_or_default()))
            }
        }
    }
}

impl NamespaceReflector {
    /// Lists and watches the namespaces. Never returns.
    pub async fn run(&self) {
        self.0.run().await;
    }
}

impl NamespaceCache {
    fn is_known_active(&self, name: &str) -> bool {
        self.known.read().get(name).is_some_and(|known| known.state == NamespaceState::Active)
    }

    async fn state(&self, name: &str) -> Result<NamespaceState, NamespaceUnavailable> {
        let known = self.known.read().get(name).map(|known| known.state);
        if known == Some(NamespaceState::Active) {
            return Ok(NamespaceState::Active);
        }
        match self.request(name).await {
            Ok(found) => Ok(found.map_or(NamespaceState::Missing, |found| found.state)),
            Err(unavailable) => known.ok_or(unavailable),
        }
    }

    async fn labels(
        &self,
        name: &str,
    ) -> Result<Option<Arc<BTreeMap<String, String>>>, NamespaceUnavailable> {
        let known = self.known.read().get(name).map(|known| known.labels.clone());
        match known {
            Some(labels) => Ok(Some(labels)),
            None => Ok(self.request(name).await?.map(|found| found.labels)),
        }
    }

    /// Requests the facts about a namespace; `None` if it does not exist.
    async fn request(&self, name: &str) -> Result<Option<KnownNamespace>, NamespaceUnavailable> {
        Ok(self.get(name).await?.as_ref().map(facts_of))
    }

    /// Requests a namespace from the control plane; `None` if it does not exist.
    async fn get(&self, name: &str) -> Result<Option<Namespace>, NamespaceUnavailable> {
        let why = match tokio::time::timeout(TIMEOUT, self.api.get_opt(name)).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error_message(&error),
            Err(_) => format!("no response within {} s", TIMEOUT.as_secs()),
        };
        Err(NamespaceUnavailable { name: name.to_owned(), why })
    }

    async fn run(&self) {
        let mut events = std::pin::pin!(watch_collection(self.api.clone(), SUBJECT));
        // A new list replaces all states when it is complete.
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            let mut known = self.known.write();
            match event {
                Ok(Event::Apply(namespace)) => {
                    known.insert(name_of(&namespace), facts_of(&namespace));
                }
                Ok(Event::Delete(namespace)) => {
                    known.remove(&name_of(&namespace));
                }
                Ok(Event::InitApply(namespace)) => {
                    listed.insert(name_of(&namespace), facts_of(&namespace));
                }
                Ok(Event::InitDone) => *known = std::mem::take(&mut listed),
                // The list starts over.
                Ok(Event::Init) | Err(_) => listed.clear(),
            }
        }
    }
}

impl std::fmt::Debug for NamespaceCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamespaceCache")
    }
}

fn name_of(namespace: &Namespace) -> String {
    namespace.metadata.name.clone().unwrap_or_default()
}

fn facts_of(namespace: &Namespace) -> KnownNamespace {
    let labels = namespace.metadata.labels.clone().unwrap_or_default();
    KnownNamespace { state: state_of(namespace), labels: Arc::new(labels) }
}

fn state_of(namespace: &Namespace) -> NamespaceState {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_ending = phase == Some("Terminating") || namespace.metadata.deletion_timestamp.is_some();
    if is_ending { NamespaceState::Terminating } else { NamespaceState::Active }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Cluster without a running watch, with the namespaces `lab` and `old` (terminating).
    fn client() -> Client {
        let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
            let (code, body) = match request.uri().path().rsplit('/').next() {
                Some("lab") => {
                    let labels = json!({"team": "a"});
                    let annotations = json!({"owner": "eve"});
                    let metadata =
                        json!({"name": "lab", "labels": labels, "annotations": annotations});
                    (200, json!({"metadata": metadata, "status": {"phase": "Active"}}))
                }
                Some("old") => {
                    (200, json!({"metadata": {"name": "old"}, "status": {"phase": "Terminating"}}))
                }
                Some("down") => (503, json!({"kind": "Status", "code": 503, "message": "down"})),
                _ => (
                    404,
                    json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"}),
                ),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn namespaces_unknown_to_the_watch_are_requested() {
        let (namespaces, _following) = Namespaces::of(client());
        assert_eq!(namespaces.state("lab").await.unwrap(), NamespaceState::Active);
        assert_eq!(namespaces.state("old").await.unwrap(), NamespaceState::Terminating);
        assert_eq!(namespaces.state("new").await.unwrap(), NamespaceState::Missing);
        assert_eq!(namespaces.state("No Name").await.unwrap(), NamespaceState::Missing);
    }

    #[tokio::test]
    async fn labels_of_unknown_namespaces_are_requested() {
        let (namespaces, _following) = Namespaces::of(client());
        let labels = namespaces.labels("lab").await.unwrap();
        assert_eq!(labels.unwrap().get("team").map(String::as_str), Some("a"));
        assert_eq!(namespaces.labels("new").await.unwrap(), None);
        assert!(namespaces.labels("down").await.is_err());
        let annotations = namespaces.annotations("lab").await.unwrap();
        assert_eq!(annotations.unwrap().get("owner").map(String::as_str), Some("eve"));
        assert_eq!(namespaces.annotations("new").await.unwrap(), None);
    }

    #[tokio::test]
    async fn failed_request_for_an_unknown_namespace_is_an_error() {
        let (namespaces, _following) = Namespaces::of(client());
        let why = namespaces.state("down").await.unwrap_err().to_string();
        assert!(why.contains("\"down\"") && why.contains("cannot get the namespace"), "{why}");
    }

    #[tokio::test]
    async fn every_valid_namespace_is_active_without_a_cluster() {
        assert_eq!(Namespaces::all().state("any").await.unwrap(), NamespaceState::Active);
        assert_eq!(Namespaces::all().state("Any").await.unwrap(), NamespaceState::Missing);
    }
}
