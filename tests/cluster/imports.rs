//! Imports by the server itself in a cluster: events on the stream, and pull secrets that are created
//! after an import failed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::backend::{Certificate, Prepared, path};
use super::objects::in_base64;
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;
use crate::registry::{Content, Image, RegistryServer, answer, json_error};
use crate::support::client::Request;
use crate::support::expect::Expect;

const NAMESPACE: &str = "imports";

/// A stream whose tag `t` refers to an image.
fn stream(name: &str, from: &str) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"tags": [{
            "name": "t", "from": {"kind": "DockerImage", "name": from},
            "importPolicy": {"insecure": true},
        }]},
    })
}

/// Creates a stream, and returns its UID.
async fn create(plane: &ControlPlane, stream: &Value) -> String {
    let request = Request::new("POST", &path(NAMESPACE, "imagestreams")).json(stream);
    let created = plane.ask(request).await.is(201);
    created["metadata"]["uid"].as_str().expect("a stored object has a UID").to_owned()
}

/// Waits until a stream has an event with a reason, and returns the event.
async fn event(plane: &ControlPlane, uid: &str, reason: &str) -> Value {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/events");
    until(&format!("the event {reason}"), || async {
        let list = plane.get(&path).await.ok_or("events cannot be listed")?;
        let events = list["items"].as_array().expect("a list has items").iter();
        let of_stream = events.filter(|event| event["involvedObject"]["uid"] == *uid);
        let seen: Vec<&Value> = of_stream.collect();
        let found = seen.iter().find(|event| event["reason"] == reason);
        found.map(|event| (*event).clone()).ok_or_else(|| format!("{seen:?}"))
    })
    .await
}

#[tokio::test]
async fn imports_are_events_on_their_stream() {
    let plane = own().await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.importing().start().await;
    plane.register(&backend).await;
    plane.create_namespace(NAMESPACE).await;
    let is_well = Arc::new(AtomicBool::new(false));
    let (well, content) = (is_well.clone(), Content::default().with("a", "x", Image::named("a")));
    let server = RegistryServer::start(move |request| match well.load(Ordering::SeqCst) {
        true => content.answer(request),
        false => json_error(503, "UNAVAILABLE", "service unavailable"),
    })
    .await;
    let uid = create(&plane, &stream("flaky", &format!("{}/a:x", server.host()))).await;
    let failed = event(&plane, &uid, "ImportFailed").await;
    assert_eq!(
        (&failed["type"], &failed["involvedObject"]["name"]),
        (&json!("Warning"), &json!("flaky"))
    );
    let note = failed["message"].as_str().expect("an event has a message");
    assert!(note.contains("HTTP status 503") && note.contains("next try within"), "{note}");
    is_well.store(true, Ordering::SeqCst);
    let recovered = event(&plane, &uid, "ImportRecovered").await;
    assert_eq!(recovered["type"], "Normal");
    let uid = create(&plane, &stream("well", &format!("{}/a:x", server.host()))).await;
    event(&plane, &uid, "Imported").await;
    assert!(!backend.log().contains("cannot send events"), "{}", backend.log());
    plane.delete(&format!("/api/v1/namespaces/{NAMESPACE}")).await;
}

#[tokio::test]
async fn new_pull_secret_repeats_a_failed_import() {
    const SPACE: &str = "imports-secret";
    let plane = own().await;
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/components/secrets-reader/rbac.yaml");
    let text = std::fs::read_to_string(file).expect("the component can be read");
    let roles: Vec<Value> = serde_saphyr::from_multiple(&text).expect("the component is YAML");
    plane.apply(&roles);
    let backend = Prepared::new(&plane, Certificate::Issued).await.importing().start().await;
    plane.register(&backend).await;
    plane.create_namespace(SPACE).await;
    let content = Content::default().with("a", "x", Image::named("a"));
    let expected = format!("Basic {}", in_base64("u:p"));
    let server = RegistryServer::start(move |request| match request.authorization() == expected {
        true => content.answer(request),
        false => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
    })
    .await;
    let mut private = stream("private", &format!("{}/a:x", server.host()));
    private["metadata"]["namespace"] = SPACE.into();
    let request = Request::new("POST", &path(SPACE, "imagestreams")).json(&private);
    plane.ask(request).await.is(201);
    let status = || async {
        let stream = plane.get(&path(SPACE, "imagestreams/private")).await;
        stream.expect("the stream exists")["status"]["tags"][0].clone()
    };
    until("the import fails", || async {
        let tag = status().await;
        let is_failed = tag["conditions"][0]["reason"] == "Unauthorized";
        is_failed.then_some(()).ok_or_else(|| tag.to_string())
    })
    .await;
    let config = json!({"auths": {server.host(): {"username": "u", "password": "p"}}}).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": in_base64(config)},
    });
    let begun = std::time::Instant::now();
    plane.create(&format!("/api/v1/namespaces/{SPACE}/secrets"), &secret).await;
    until("the import succeeds", || async {
        let tag = status().await;
        tag["items"][0]["image"].is_string().then_some(()).ok_or_else(|| tag.to_string())
    })
    .await;
    // The next try without the secret would be a minute after the first.
    assert!(begun.elapsed().as_secs() < 40, "{:?}", begun.elapsed());
    for role in &roles {
        let kind = role["kind"].as_str().expect("an object has a kind").to_lowercase();
        let name = role["metadata"]["name"].as_str().expect("an object has a name");
        plane.delete(&format!("/apis/rbac.authorization.k8s.io/v1/{kind}s/{name}")).await;
    }
    plane.delete(&format!("/api/v1/namespaces/{SPACE}")).await;
}
