//! Which namespaces there are: known from a watch, and asked for where the watch knows nothing.

use std::collections::HashMap;
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

/// What is known of namespaces.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Option<Arc<NamespaceCache>>);

/// The state of a namespace, as far as creating things in it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// It is there.
    Active,
    /// It is there, and is being deleted.
    Terminating,
    /// It is not there.
    Missing,
}

/// The control plane could not be asked, and nothing is known.
#[derive(Debug, thiserror::Error)]
#[error("the namespace {name:?} is not known here, and the control plane could not be asked for it: {why}")]
pub struct NamespaceUnavailable {
    name: String,
    why: String,
}

/// Follows the namespaces of a cluster for [`Namespaces`].
pub struct NamespaceReflector(Arc<NamespaceCache>);

struct NamespaceCache {
    api: Api<Namespace>,
    known: RwLock<HashMap<String, NamespaceState>>,
}

/// The longest that a namespace is asked for.
const TIMEOUT: Duration = Duration::from_secs(5);

const SUBJECT: WatchSubject = WatchSubject {
    what: "the namespaces of the cluster",
    if_forbidden: "allow this server's user to get, list and watch namespaces (manifests/base/rbac-server.yaml does)",
};

impl Namespaces {
    /// Without a cluster: every namespace with a valid name is there.
    pub fn all() -> Self {
        Self(None)
    }

    /// Those of a cluster, and the reflector that follows them.
    pub fn of(client: Client) -> (Self, NamespaceReflector) {
        let cache = Arc::new(NamespaceCache { api: Api::all(client), known: RwLock::default() });
        (Self(Some(cache.clone())), NamespaceReflector(cache))
    }

    /// The state of a namespace.
    ///
    /// That it is active is taken from memory. Everything else is asked for, so that a namespace that was made a moment ago counts.
    ///
    /// # Errors
    /// The control plane could not be asked, and nothing is known.
    pub async fn state(&self, name: &str) -> Result<NamespaceState, NamespaceUnavailable> {
        match &self.0 {
            _ if !is_dns_label(name) => Ok(NamespaceState::Missing),
            None => Ok(NamespaceState::Active),
            Some(cache) => cache.state(name).await,
        }
    }
}

impl NamespaceReflector {
    /// Follows the namespaces. Never returns.
    pub async fn run(&self) {
        self.0.run().await;
    }
}

impl NamespaceCache {
    async fn state(&self, name: &str) -> Result<NamespaceState, NamespaceUnavailable> {
        let known = self.known.read().get(name).copied();
        if known == Some(NamespaceState::Active) {
            return Ok(NamespaceState::Active);
        }
        let response = tokio::time::timeout(TIMEOUT, self.api.get_opt(name)).await;
        let why = match response {
            Ok(Ok(found)) => return Ok(found.as_ref().map_or(NamespaceState::Missing, state_of)),
            Ok(Err(error)) => error_message(&error),
            Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        };
        known.ok_or_else(|| NamespaceUnavailable { name: name.to_owned(), why })
    }

    async fn run(&self) {
        let mut events = std::pin::pin!(watch_collection(self.api.clone(), SUBJECT));
        // A list that begins anew takes the place of everything once it is whole.
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            let mut known = self.known.write();
            match event {
                Ok(Event::Apply(namespace)) => drop(known.insert(name_of(&namespace), state_of(&namespace))),
                Ok(Event::Delete(namespace)) => drop(known.remove(&name_of(&namespace))),
                Ok(Event::InitApply(namespace)) => drop(listed.insert(name_of(&namespace), state_of(&namespace))),
                Ok(Event::InitDone) => *known = std::mem::take(&mut listed),
                // Whatever was listed so far is listed again.
                Ok(Event::Init) | Err(_) => listed.clear(),
            }
        }
    }
}

impl std::fmt::Debug for NamespaceCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Followed")
    }
}

fn name_of(namespace: &Namespace) -> String {
    namespace.metadata.name.clone().unwrap_or_default()
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

    /// A cluster that knows the namespace `lab` by a live question only, and `old`, which is ending.
    fn client() -> Client {
        let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
            let (code, body) = match request.uri().path().rsplit('/').next() {
                Some("lab") => (200, json!({"metadata": {"name": "lab"}, "status": {"phase": "Active"}})),
                Some("old") => (200, json!({"metadata": {"name": "old"}, "status": {"phase": "Terminating"}})),
                Some("down") => (503, json!({"kind": "Status", "code": 503, "message": "down"})),
                _ => (404, json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"})),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn what_the_watch_does_not_know_is_asked_for() {
        let (namespaces, _following) = Namespaces::of(client());
        assert_eq!(namespaces.state("lab").await.unwrap(), NamespaceState::Active);
        assert_eq!(namespaces.state("old").await.unwrap(), NamespaceState::Terminating);
        assert_eq!(namespaces.state("new").await.unwrap(), NamespaceState::Missing);
        assert_eq!(namespaces.state("No Name").await.unwrap(), NamespaceState::Missing);
    }

    #[tokio::test]
    async fn nothing_known_and_nobody_to_ask_is_no_answer() {
        let (namespaces, _following) = Namespaces::of(client());
        let why = namespaces.state("down").await.unwrap_err().to_string();
        assert!(why.contains("\"down\"") && why.contains("could not be asked"), "{why}");
    }

    #[tokio::test]
    async fn without_a_cluster_every_valid_name_is_there() {
        assert_eq!(Namespaces::all().state("any").await.unwrap(), NamespaceState::Active);
        assert_eq!(Namespaces::all().state("Any").await.unwrap(), NamespaceState::Missing);
    }
}
