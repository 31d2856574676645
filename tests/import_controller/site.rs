//! A store with the import controller, and registries whose content changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use imagestream_apiserver::api::{
    ImageStream, NamedTagEventList, ObjectReference, TagEventCondition, TagReference,
};
use imagestream_apiserver::cluster::Secrets;
use imagestream_apiserver::controllers::image_import::{ImageImportController, ImageImports};
use imagestream_apiserver::controllers::{ImportSignals, Supervisor};
use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::domain::import::{DelayRange, RetryPolicy};
use imagestream_apiserver::domain::manifest;
use imagestream_apiserver::domain::registries::Registries;
use imagestream_apiserver::meta::{Kind, Time};
use imagestream_apiserver::oci::{self, PacingOptions, PullTimeouts, RegistryClient};
use imagestream_apiserver::registry::actor::Actor;
use imagestream_apiserver::registry::object_ref::ObjectRef;
use imagestream_apiserver::registry::verbs::Delete;
use imagestream_apiserver::resources::catalog::StorageLimits;
use imagestream_apiserver::resources::import::StreamImporter;
use imagestream_apiserver::resources::{Catalog, Client, ImageImporter, import};
use imagestream_apiserver::store::{self, Opened, Revision};
use imagestream_apiserver::telemetry::import_metrics::ImportMetrics;
use imagestream_apiserver::telemetry::metrics::Metrics;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::registry::{Content, Image, RegistryServer};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Time for a connection, which is the duration of an import from a registry that hangs. It tries
/// HTTPS and HTTP.
const HANG: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_millis(10);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Short delays: checks every 100 ms, retries after 20 to 200 ms.
pub(crate) fn fast() -> RetryPolicy {
    let delays = DelayRange { first: 20 * MILLISECOND, longest: 200 * MILLISECOND };
    RetryPolicy { interval: 100 * MILLISECOND, transient: delays, refused: delays }
}

/// Delays that no test waits for.
pub(crate) fn slow() -> RetryPolicy {
    let delays = DelayRange { first: 100 * DEADLINE, longest: 100 * DEADLINE };
    RetryPolicy { interval: 100 * DEADLINE, transient: delays, refused: delays }
}

/// A store with its controller.
pub(crate) struct Site {
    pub(crate) client: Client,
    catalog: Arc<Catalog>,
    opened: Opened,
    secrets: PullSecrets,
    supervisor: Option<Supervisor>,
    /// Requests per second to each registry.
    rate: &'static str,
    changed_secrets: mpsc::UnboundedSender<BTreeSet<String>>,
}

/// Pull secrets by namespace, as docker configurations.
pub(crate) type PullSecrets = Arc<Mutex<BTreeMap<String, Value>>>;

impl Site {
    /// A site whose controller runs.
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        let mut site = Self::stopped();
        site.start(policy);
        site
    }

    /// A site without a running controller.
    pub(crate) fn stopped() -> Self {
        let opened = store::in_memory().expect("memory is enough");
        let limits = StorageLimits::default();
        let catalog = Arc::new(Catalog::new(&opened.store, Registries::default(), &limits));
        let client = Client::new(&catalog, "test");
        let (changed_secrets, secrets) = (mpsc::unbounded_channel().0, PullSecrets::default());
        let rate = "1000";
        Self { client, catalog, opened, secrets, supervisor: None, rate, changed_secrets }
    }

    /// The same with another rate of requests to each registry.
    pub(crate) fn with_rate(self, rate: &'static str) -> Self {
        Self { rate, ..self }
    }

    /// Starts the controller.
    pub(crate) fn start(&mut self, policy: RetryPolicy) {
        let loopback = "127.0.0.0/8".parse().expect("it is a network");
        let options = oci::Options {
            import_allow_cidrs: vec![loopback],
            pacing: PacingOptions {
                registry_requests_per_second: self.rate.parse().expect("it is a rate"),
                ..PacingOptions::default()
            },
            ..Default::default()
        };
        let timeouts = PullTimeouts { connect: HANG, ..PullTimeouts::default() };
        let registries = RegistryClient::new(&options, timeouts, ImportMetrics::default())
            .expect("the options are valid");
        let secrets = Secrets::of(control_plane(self.secrets.clone()));
        let importer = ImageImporter::new(registries, secrets, &import::Options::default());
        let (sender, receiver) = mpsc::unbounded_channel();
        self.changed_secrets = sender;
        let changed_secrets = stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let imports = ImageImports {
            importer: StreamImporter::new(&self.catalog, Arc::new(importer)),
            policy,
            signals: ImportSignals {
                changed_secrets: changed_secrets.boxed(),
                ..ImportSignals::none(ImportMetrics::default())
            },
        };
        let controller = ImageImportController::new(imports, self.opened.elector.clone());
        let mut supervisor = Supervisor::new(Arc::new(Metrics::new()));
        supervisor.start_all([Box::new(controller) as Box<_>]);
        self.supervisor = Some(supervisor);
    }

    /// Stops the controller at once.
    pub(crate) async fn stop(&mut self) {
        self.supervisor.take().expect("the controller runs").shutdown().await;
    }

    /// Stores a pull secret for a registry, and reports the change to the controller.
    pub(crate) fn add_secret(&self, namespace: &str, host: &str, user: &str, password: &str) {
        let config = json!({"auths": {host: {"username": user, "password": password}}});
        self.secrets.lock().expect("no test panics with it").insert(namespace.into(), config);
        let changed = [namespace.to_owned()].into();
        self.changed_secrets.send(changed).expect("the controller runs");
    }

    /// Creates a stream of the namespace `ns`.
    pub(crate) async fn create(&self, name: &str, tags: Vec<TagReference>) {
        self.create_in("ns", name, tags).await;
    }

    pub(crate) async fn create_in(&self, namespace: &str, name: &str, tags: Vec<TagReference>) {
        let mut stream = ImageStream::default();
        stream.metadata.name = name.into();
        stream.spec.tags = tags;
        stream.default_fields();
        self.client.image_streams(namespace).create(stream).await.expect("the stream is valid");
    }

    /// Deletes a stream of the namespace `ns`.
    pub(crate) async fn delete(&self, name: &str) {
        let (actor, at) =
            (Actor::internal("test", Time::now()), ObjectRef::in_namespace("ns", name));
        let deleted = self.catalog.streams.delete(&actor, &at, &DeleteOptions::default()).await;
        deleted.expect("the stream exists");
    }

    pub(crate) async fn stream(&self, name: &str) -> ImageStream {
        let stream = self.client.image_streams("ns").get(name).await.expect("the store works");
        stream.expect("the stream exists")
    }

    /// Waits until a stream is as expected, and returns it.
    pub(crate) async fn until(
        &self,
        name: &str,
        is_expected: impl Fn(&ImageStream) -> bool,
    ) -> ImageStream {
        let started = Instant::now();
        loop {
            let stream = self.stream(name).await;
            if is_expected(&stream) {
                return stream;
            }
            assert!(started.elapsed() < DEADLINE, "still {stream:#?}");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The latest revision of the store.
    pub(crate) async fn revision(&self) -> Revision {
        self.opened.store.current().await.expect("the store works")
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A tag that follows a source in an insecure registry.
pub(crate) fn tag(name: &str, source: &str) -> TagReference {
    let (kind, source) = ("DockerImage".into(), source.into());
    let from = ObjectReference { kind, name: source, ..ObjectReference::default() };
    let mut tag = TagReference { name: name.into(), from: Some(from), ..TagReference::default() };
    tag.import_policy.insecure = true;
    tag
}

/// The same, checked at intervals.
pub(crate) fn scheduled(name: &str, source: &str) -> TagReference {
    let mut tag = tag(name, source);
    tag.import_policy.scheduled = true;
    tag
}

pub(crate) fn history<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a NamedTagEventList> {
    stream.status.tags.iter().find(|history| history.tag == tag)
}

/// The names of the images of a tag, newest first.
pub(crate) fn images(stream: &ImageStream, tag: &str) -> Vec<String> {
    let items = history(stream, tag).map(|history| &history.items[..]).unwrap_or_default();
    items.iter().map(|item| item.image.clone()).collect()
}

/// The condition of a tag.
pub(crate) fn condition<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagEventCondition> {
    history(stream, tag)?.conditions.first()
}

/// A registry whose content a test changes, and which it can make fail.
pub(crate) struct TestRegistry {
    pub(crate) server: RegistryServer,
    content: Arc<Mutex<Content>>,
    is_gone: Arc<AtomicBool>,
}

impl TestRegistry {
    /// A registry without content.
    pub(crate) async fn start() -> Self {
        let (content, is_gone) = (Arc::<Mutex<Content>>::default(), Arc::<AtomicBool>::default());
        let (served, gone) = (content.clone(), is_gone.clone());
        let server = RegistryServer::start(move |request| {
            match gone.load(Ordering::SeqCst) {
                // The connection is closed.
                true => None,
                false => served.lock().expect("no test panics with it").answer(request),
            }
        });
        Self { server: server.await, content, is_gone }
    }

    /// Pushes an image to the repository `a`, and returns its name.
    pub(crate) fn push(&self, tag: &str, image: &str) -> String {
        let image = Image::named(image);
        let name = image.digest.to_string();
        let mut content = self.content.lock().expect("no test panics with it");
        *content = std::mem::take(&mut *content).with("a", tag, image);
        name
    }

    /// Pushes a manifest list of one image to the repository `a`, and returns its digest.
    pub(crate) fn push_list(&self, tag: &str, image: &str) -> String {
        let part = Image::named(image);
        let entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": part.digest.as_str(), "size": part.manifest.len(),
            "platform": {"architecture": "amd64", "os": "linux"},
        });
        let manifest = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        let (digest, media_type) = (Digest::sha256_of(&manifest), manifest::OCI_INDEX);
        let list = Image { digest, manifest, media_type, ..part.clone() };
        let digest = list.digest.to_string();
        let mut content = self.content.lock().expect("no test panics with it");
        *content = std::mem::take(&mut *content).with("a", tag, list).with("a", "part", part);
        digest
    }

    /// Closes all connections without a response until it returns.
    pub(crate) fn set_gone(&self, is_gone: bool) {
        self.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// The pull spec of a tag.
    pub(crate) fn source(&self, tag: &str) -> String {
        format!("{}/a:{tag}", self.server.host())
    }

    /// The number of requests with this method for manifests.
    pub(crate) fn count(&self, method: &str) -> usize {
        let is_counted = |it: &&crate::registry::ReceivedRequest| {
            it.method == method && it.target.contains("/manifests/")
        };
        self.server.log().iter().filter(is_counted).count()
    }
}

/// A control plane that knows pull secrets.
fn control_plane(secrets: PullSecrets) -> kube::Client {
    let respond = move |request: Request<kube::client::Body>| {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let body = match parts[..] {
            ["api", "v1", "namespaces", namespace, "secrets"] => {
                let secrets = secrets.lock().expect("no test panics with it");
                let items = secrets.get(namespace).map(|config| {
                    json!({
                        "metadata": {"name": "pull", "namespace": namespace},
                        "type": "kubernetes.io/dockerconfigjson",
                        "data": {".dockerconfigjson": BASE64_STANDARD.encode(config.to_string())},
                    })
                });
                json!({
                    "kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                    "items": items.into_iter().collect::<Vec<_>>(),
                })
            }
            ["api", "v1", "namespaces", namespace, "serviceaccounts", "default"] => json!({
                "kind": "ServiceAccount", "apiVersion": "v1",
                "metadata": {"name": "default", "namespace": namespace},
            }),
            _ => panic!("unexpected request for {path}"),
        };
        async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.to_string()))) }
    };
    kube::Client::new(tower::service_fn(respond), "default")
}
