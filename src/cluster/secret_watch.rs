//! Watch of pull secrets, by their metadata: the namespaces whose secrets changed.
//!
//! The data of secrets is read when an import needs it, and never kept.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::object_watch::{WatchSubject, watch_metadata};

/// Selectors of the types of pull secrets.
const SELECTORS: [&str; 2] =
    ["type=kubernetes.io/dockerconfigjson", "type=kubernetes.io/dockercfg"];

const SUBJECT: WatchSubject = WatchSubject {
    what: "the pull secrets of the cluster",
    if_forbidden: "failed imports are retried on schedule only; to retry them when a secret \
                   changes, allow this server's user to list and watch secrets \
                   (manifests/components/secrets-reader does)",
};

/// Watch that feeds [`SecretChanges`] while it runs.
pub struct SecretWatch {
    client: Client,
    changes: SecretChanges,
}

/// Namespaces whose pull secrets changed. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SecretChanges(Arc<ChangedNamespaces>);

#[derive(Debug, Default)]
struct ChangedNamespaces {
    names: Mutex<BTreeSet<String>>,
    added: Notify,
}

/// Versions of the secrets of one selector, as hashes: clusters have many secrets.
#[derive(Default)]
struct SecretIndex {
    hasher: RandomState,
    versions: HashMap<u64, u64>,
    /// Versions of a list that is not complete.
    listed: HashMap<u64, u64>,
    is_listed: bool,
}

impl SecretWatch {
    /// Creates a watch of the secrets of a cluster.
    pub fn of(client: Client) -> (Self, SecretChanges) {
        let changes = SecretChanges::default();
        (Self { client, changes: changes.clone() }, changes)
    }

    /// Lists and watches the secrets. Never returns.
    pub async fn run(&self) {
        let watch = watch_metadata::<Secret>(&self.client, &SELECTORS, SUBJECT);
        let mut events = std::pin::pin!(watch);
        let mut indexes = SELECTORS.map(|_| SecretIndex::default());
        while let Some(event) = events.next().await {
            let Ok((at, event)) = event else { continue };
            if let Some(namespace) = indexes[at].changed_by(&event) {
                self.changes.add(namespace);
            }
        }
    }
}

impl SecretChanges {
    /// Waits for changes, and returns the namespaces that changed since the last call. Dropping the
    /// future loses none.
    pub async fn changed(&self) -> BTreeSet<String> {
        loop {
            let added = self.0.added.notified();
            let names = std::mem::take(&mut *self.0.names.lock());
            if !names.is_empty() {
                return names;
            }
            added.await;
        }
    }

    fn add(&self, namespace: &str) {
        self.0.names.lock().insert(namespace.to_owned());
        // Remembered if nobody waits yet.
        self.0.added.notify_one();
    }
}

impl SecretIndex {
    /// Returns the namespace of a secret that changed. The secrets of the first list have not; those
    /// of later lists are compared.
    fn changed_by<'a>(&mut self, event: &'a Event<PartialObjectMeta<Secret>>) -> Option<&'a str> {
        match event {
            Event::Init => {
                self.listed.clear();
                None
            }
            Event::InitApply(secret) => {
                let (key, version) = self.identity(&secret.metadata);
                self.listed.insert(key, version);
                let is_new = self.versions.get(&key) != Some(&version);
                (self.is_listed && is_new).then_some(namespace(&secret.metadata))
            }
            Event::InitDone => {
                self.versions = std::mem::take(&mut self.listed);
                self.is_listed = true;
                None
            }
            Event::Apply(secret) => {
                let (key, version) = self.identity(&secret.metadata);
                let is_new = match self.versions.entry(key) {
                    Entry::Occupied(mut known) => known.insert(version) != version,
                    Entry::Vacant(free) => {
                        free.insert(version);
                        true
                    }
                };
                is_new.then_some(namespace(&secret.metadata))
            }
            // Another secret may have the credential that is used now.
            Event::Delete(secret) => {
                let (key, _) = self.identity(&secret.metadata);
                self.versions.remove(&key).map(|_| namespace(&secret.metadata))
            }
        }
    }

    fn identity(&self, metadata: &ObjectMeta) -> (u64, u64) {
        let key = self.hasher.hash_one((&metadata.namespace, &metadata.name));
        (key, self.hasher.hash_one(&metadata.resource_version))
    }
}

fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::core::PartialObjectMetaExt;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn secret(namespace: &str, name: &str, version: &str) -> PartialObjectMeta<Secret> {
        let metadata = ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        };
        metadata.into_response_partial()
    }

    #[test]
    fn changes_since_the_first_list_are_found() {
        let mut index = SecretIndex::default();
        let mut changed = |event| index.changed_by(&event).map(str::to_owned);
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(changed(Event::InitApply(secret("a", "s", "1"))), None);
        assert_eq!(changed(Event::InitApply(secret("b", "s", "2"))), None);
        assert_eq!(changed(Event::InitDone), None);
        assert_eq!(changed(Event::Apply(secret("a", "s", "3"))), some("a"));
        assert_eq!(changed(Event::Apply(secret("a", "s", "3"))), None);
        assert_eq!(changed(Event::Apply(secret("c", "s", "4"))), some("c"));
        assert_eq!(changed(Event::Delete(secret("b", "s", "5"))), some("b"));
        assert_eq!(changed(Event::Delete(secret("b", "s", "5"))), None);
        // The next list, after an outage.
        assert_eq!(changed(Event::Init), None);
        assert_eq!(changed(Event::InitApply(secret("a", "s", "3"))), None);
        assert_eq!(changed(Event::InitApply(secret("c", "s", "6"))), some("c"));
        assert_eq!(changed(Event::InitDone), None);
    }

    #[tokio::test]
    async fn changes_add_up_until_they_are_taken() {
        let changes = SecretChanges::default();
        changes.add("b");
        changes.add("a");
        changes.add("b");
        let taken = timeout(DEADLINE, changes.changed()).await.unwrap();
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let waiting = timeout(Duration::from_millis(10), changes.changed()).await;
        assert!(waiting.is_err(), "all are taken");
        let (taken, ()) = tokio::join!(timeout(DEADLINE, changes.changed()), async {
            tokio::task::yield_now().await;
            changes.add("c");
        });
        assert_eq!(taken.unwrap().len(), 1);
    }

    /// URI and `Accept` header of each request.
    type Requests = Arc<Mutex<Vec<(String, String)>>>;

    /// A cluster that counts its requests and answers lists of secrets with `status` and `body`.
    fn cluster(status: u16, body: Value) -> (Client, Requests) {
        let log = Requests::default();
        let requests = log.clone();
        let respond = move |request: http::Request<kube::client::Body>| {
            let accept = request.headers().get(http::header::ACCEPT);
            let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
            requests.lock().push((request.uri().to_string(), accept));
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let response = http::Response::builder().status(status).body(body).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        };
        (Client::new(tower::service_fn(respond), "default"), log)
    }

    async fn requests(watch: &SecretWatch, log: &Requests, count: usize) {
        let counted = async {
            while log.lock().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = watch.run() => panic!("it never returns"),
            counted = timeout(DEADLINE, counted) => counted.expect("the requests are sent"),
        }
    }

    #[tokio::test]
    async fn only_metadata_of_pull_secrets_is_requested() {
        let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "7"}, "items": []});
        let (client, log) = cluster(200, list);
        let (watch, _changes) = SecretWatch::of(client);
        requests(&watch, &log, 2).await;
        for (uri, accept) in &log.lock()[..2] {
            assert!(uri.starts_with("/api/v1/secrets?"), "{uri}");
            assert!(uri.contains("fieldSelector=type%3Dkubernetes.io%2Fdockerc"), "{uri}");
            assert!(accept.contains("as=PartialObjectMetadataList"), "{accept}");
        }
    }

    #[tokio::test]
    async fn missing_permission_is_no_reason_to_end() {
        let forbidden = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "Forbidden", "code": 403, "message": "secrets is forbidden"});
        let (client, log) = cluster(403, forbidden);
        let (watch, changes) = SecretWatch::of(client);
        // Two lists, and each once again after a delay.
        requests(&watch, &log, 4).await;
        assert!(timeout(Duration::from_millis(1), changes.changed()).await.is_err());
    }
}
