//! Imports through the public interface of the crate, against registries inside the test process:
//! credentials of namespaces, conflicts, and cancellation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, Response};
use imagestream_apiserver::api::{
    ImageImportSpec, ImageStream, ImageStreamImport, LocalObjectReference,
};
use imagestream_apiserver::cluster::Secrets;
use imagestream_apiserver::domain::registries::Registries;
use imagestream_apiserver::oci::{self, PullTimeouts, RegistryClient};
use imagestream_apiserver::resources::catalog::StorageLimits;
use imagestream_apiserver::resources::{Catalog, Client, ImageImporter, import};
use imagestream_apiserver::store;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

#[expect(dead_code, unused_imports, reason = "other test binaries use the rest")]
#[path = "support/registry/mod.rs"]
mod registry;

use registry::content::manifest_answer;
use registry::{Answer, Content, Image, ReceivedRequest, RegistryServer, answer, json_error};

const DEADLINE: Duration = Duration::from_secs(30);

/// A catalog with its importer.
struct Site {
    client: Client,
    importer: Arc<ImageImporter>,
}

impl Site {
    /// A site whose namespaces have these pull secrets for `host`: user and password by namespace.
    fn new(host: &str, passwords: &[(&str, &str)]) -> Self {
        let store = store::in_memory().expect("memory is enough").store;
        let limits = StorageLimits::default();
        let catalog = Arc::new(Catalog::new(&store, Registries::default(), &limits));
        let loopback = "127.0.0.0/8".parse().expect("it is a network");
        let options = oci::Options { import_allow_cidrs: vec![loopback], ..Default::default() };
        let registries = RegistryClient::new(&options, PullTimeouts::default(), Default::default());
        let registries = registries.expect("the options are valid");
        let secrets = Secrets::of(control_plane(host, passwords));
        let importer = ImageImporter::new(registries, secrets, &import::Options::default());
        Self { client: Client::new(&catalog, "test"), importer: Arc::new(importer) }
    }

    /// Imports an image to the tag `t` of the stream `s`.
    async fn import(&self, namespace: &str, from: &str) -> ImageStreamImport {
        let created = self.client.create_import(&self.importer, namespace, import_of(from));
        created.await.expect("the import has a result")
    }

    async fn stream(&self, namespace: &str) -> Option<ImageStream> {
        self.client.image_streams(namespace).get("s").await.expect("the store works")
    }
}

fn import_of(from: &str) -> ImageStreamImport {
    let mut image = ImageImportSpec {
        to: Some(LocalObjectReference { name: "t".into() }),
        ..ImageImportSpec::default()
    };
    image.from.kind = "DockerImage".into();
    image.from.name = from.into();
    image.import_policy.insecure = true;
    let mut import = ImageStreamImport::default();
    import.metadata.name = "s".into();
    import.spec.import = true;
    import.spec.images = vec![image];
    import
}

/// A control plane that knows the pull secrets of namespaces and the service account `default`.
fn control_plane(host: &str, passwords: &[(&str, &str)]) -> kube::Client {
    let secrets: BTreeMap<String, Value> = passwords
        .iter()
        .map(|(namespace, password)| {
            let config = json!({"auths": {host: {"username": namespace, "password": password}}});
            let data = BASE64_STANDARD.encode(config.to_string());
            let secret = json!({
                "metadata": {"name": "pull", "namespace": namespace},
                "type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": data},
            });
            ((*namespace).to_owned(), secret)
        })
        .collect();
    let respond = move |request: Request<kube::client::Body>| {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let body = match parts[..] {
            ["api", "v1", "namespaces", namespace, "secrets"] => json!({
                "kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                "items": secrets.get(namespace).into_iter().collect::<Vec<_>>(),
            }),
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

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A registry that demands the password of an owner for each repository.
fn private(
    content: Content,
    owners: &'static [(&'static str, &'static str, &'static str)],
) -> impl Fn(&ReceivedRequest) -> Answer {
    move |request| {
        let refuse = || {
            let challenge = ("www-authenticate", "Basic realm=\"registry\"");
            let body =
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            answer(401, &[challenge], body)
        };
        let known = |(_, user, password): &&(&str, &str, &str)| {
            request.authorization() == basic(user, password)
        };
        let Some((repository, ..)) = owners.iter().find(known) else { return refuse() };
        match request.path() == "/v2/" || request.path().starts_with(&format!("/v2/{repository}/"))
        {
            true => content.answer(request),
            false => json_error(403, "DENIED", "requested access to the resource is denied"),
        }
    }
}

fn message(import: &ImageStreamImport) -> &str {
    &import.status.images[0].status.message
}

#[tokio::test]
async fn tenants_use_their_own_credentials_only() {
    const OWNERS: &[(&str, &str, &str)] = &[("a", "one", "secret1"), ("b", "two", "secret2")];
    let (of_a, of_b) = (Image::named("a"), Image::named("b"));
    let content = Content::default().with("a", "x", of_a.clone()).with("b", "x", of_b);
    let server = RegistryServer::start(private(content, OWNERS)).await;
    let host = server.host();
    let site = Site::new(&host, &[("one", "secret1"), ("two", "secret2")]);
    let (a, b) = (format!("{host}/a:x"), format!("{host}/b:x"));
    let (first, second) = tokio::join!(site.import("one", &a), site.import("two", &b));
    assert_eq!((message(&first), message(&second)), ("", ""));

    // The image is stored, but the other tenant cannot get at it by its digest.
    let digest = format!("{host}/a@{}", of_a.digest);
    let stolen = site.import("two", &digest).await;
    assert!(message(&stolen).contains("denied"), "{}", message(&stolen));
    assert!(stolen.status.images[0].image.is_none());
    let none = site.import("none", &digest).await;
    let text = format!("you may not have access to the container image \"{digest}\"");
    assert_eq!(message(&none), text);

    for request in server.log() {
        let user = match request.path() {
            path if path.starts_with("/v2/b/") => "two",
            path if path.starts_with("/v2/a/manifests/x") => "one",
            _ => continue,
        };
        let password = if user == "one" { "secret1" } else { "secret2" };
        assert_eq!(request.authorization(), basic(user, password), "{}", request.target);
    }
}

#[tokio::test]
async fn rejected_password_is_tried_without_secrets() {
    let content = Content::default().with("a", "x", Image::named("a"));
    let server = RegistryServer::start(move |request| match request.authorization() {
        "" => content.answer(request),
        _ => json_error(401, "UNAUTHORIZED", "incorrect username or password"),
    })
    .await;
    let host = server.host();
    let site = Site::new(&host, &[("one", "wrong")]);
    // A registry with a challenge only for the ping gets the credentials at once.
    let import = site.import("one", &format!("{host}/a:x")).await;
    assert_eq!(message(&import), "");
    assert!(import.status.images[0].image.is_some());
}

/// A registry that holds manifests back until it is told.
async fn held() -> (RegistryServer, Arc<Notify>, Arc<Notify>) {
    let (asked, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let image = Image::named("a");
    let content = Content::default().with("a", "x", image.clone());
    let (told, waiting) = (asked.clone(), release.clone());
    let server = RegistryServer::start(move |request| {
        if !request.path().contains("/manifests/") {
            return content.answer(request);
        }
        told.notify_one();
        let (waiting, manifest) = (waiting.clone(), image.manifest.clone());
        let body = Body::from_stream(futures_util::stream::once(async move {
            waiting.notified().await;
            Ok::<_, std::convert::Infallible>(manifest)
        }));
        let mut response = manifest_answer("", Some(&image.digest)).expect("it is a response");
        *response.body_mut() = body;
        Some(response)
    })
    .await;
    (server, asked, release)
}

#[tokio::test]
async fn conflict_does_not_fetch_again() {
    let (server, asked, release) = held().await;
    let site = Site::new(&server.host(), &[]);
    let from = format!("{}/a:x", server.host());
    let change = async {
        timeout(DEADLINE, asked.notified()).await.expect("the manifest is requested");
        let mut stream = ImageStream::default();
        stream.metadata.name = "s".into();
        stream.metadata.labels.insert("kept".into(), "yes".into());
        site.client.image_streams("ns").create(stream).await.expect("the stream is new");
        release.notify_one();
    };
    let (import, ()) = tokio::join!(site.import("ns", &from), change);
    assert_eq!(message(&import), "");
    let stream = site.stream("ns").await.expect("the stream exists");
    assert_eq!(stream.metadata.labels["kept"], "yes");
    assert_eq!(stream.status.tags[0].items.len(), 1);
    let manifests = server.targets().into_iter().filter(|it| it.contains("/manifests/")).count();
    assert_eq!(manifests, 1);
}

#[tokio::test]
async fn version_of_the_stream_is_a_precondition_to_the_end() {
    let (server, asked, release) = held().await;
    let site = Site::new(&server.host(), &[]);
    let streams = site.client.image_streams("ns");
    let mut stream = ImageStream::default();
    stream.metadata.name = "s".into();
    streams.create(stream).await.expect("the stream is new");
    let version = site.stream("ns").await.expect("the stream exists").metadata.resource_version;
    let mut import = import_of(&format!("{}/a:x", server.host()));
    import.metadata.resource_version = version;
    let change = async {
        timeout(DEADLINE, asked.notified()).await.expect("the manifest is requested");
        let label = |stream: &mut ImageStream| {
            stream.metadata.labels.insert("new".into(), String::new());
        };
        streams.update("s", label).await.expect("the stream exists");
        release.notify_one();
    };
    let created = site.client.create_import(&site.importer, "ns", import);
    let (created, ()) = tokio::join!(created, change);
    let status = created.expect_err("the stream has another version");
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(site.stream("ns").await.expect("the stream exists").status.tags.is_empty());
}

#[tokio::test]
async fn dropped_import_stores_nothing() {
    let (server, asked, release) = held().await;
    let site = Site::new(&server.host(), &[]);
    let from = format!("{}/a:x", server.host());
    {
        let import = site.import("ns", &from);
        tokio::pin!(import);
        tokio::select! {
            _ = &mut import => panic!("the registry does not respond yet"),
            asked = timeout(DEADLINE, asked.notified()) => asked.expect("the manifest is requested"),
        }
    }
    release.notify_one();
    assert!(site.stream("ns").await.is_none());
    // The place of the import is free again.
    for _ in 0..7 {
        release.notify_one();
        let import = timeout(DEADLINE, site.import("ns", &from)).await.expect("a place is free");
        assert_eq!(message(&import), "");
    }
}

#[tokio::test]
async fn invalid_image_fails_alone() {
    // An index with an entry with half of a platform fails the validation of images.
    let image = Image::named("a");
    let entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image.digest.as_str(), "size": image.manifest.len(), "platform": {"os": "linux"}});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let content = Content::default().with("a", "x", image);
    let server = RegistryServer::start(move |request| match request.path() {
        "/v2/a/manifests/index" => {
            let kind = ("content-type", "application/vnd.oci.image.index.v1+json");
            answer(200, &[kind], index.clone())
        }
        _ => content.answer(request),
    })
    .await;
    let site = Site::new(&server.host(), &[]);
    let mut import = import_of(&format!("{}/a:index", server.host()));
    import.spec.images[0].import_policy.import_mode = "PreserveOriginal".into();
    let other = import_of(&format!("{}/a:x", server.host())).spec.images.remove(0);
    let other =
        ImageImportSpec { to: Some(LocalObjectReference { name: "other".into() }), ..other };
    import.spec.images.push(other);
    let import = site.client.create_import(&site.importer, "ns", import).await.expect("a result");
    let [invalid, valid] = &import.status.images[..] else { panic!("two results") };
    assert_eq!((invalid.status.code, invalid.status.reason.as_str()), (422, "Invalid"));
    assert!(
        invalid.status.message.contains("dockerImageManifests[0].architecture: Required value")
    );
    assert!(valid.image.as_ref().is_some_and(|image| !image.metadata.uid.is_empty()));
    let stream = site.stream("ns").await.expect("the stream exists");
    let conditions: Vec<_> = stream.status.tags.iter().map(|tag| tag.conditions.len()).collect();
    assert_eq!(conditions, [0, 1], "other, t");
}
