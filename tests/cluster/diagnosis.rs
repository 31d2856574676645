//! `imagestream-apiserver check` with the flags of a server, against a real control plane.

use serde_json::json;

use super::backend::{Backend, Certificate, Prepared};
use super::kubeconfig;
use super::objects::{self, API_SERVICE, SERVER};
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;
use crate::support::client::Identity;

const DELEGATOR: &str =
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/imagestream-apiserver:auth-delegator";

/// A registered and available server in the default configuration.
async fn working(plane: &ControlPlane) -> Backend {
    let prepared = Prepared::new(plane, Certificate::OwnCa).await.flag("--inject-ca-bundle");
    plane.apply(&[objects::service(), objects::api_service(prepared.port(), None)]);
    let backend = prepared.start().await;
    plane.available().await;
    backend
}

/// Waits until `check` reports an error in a line that contains all the words.
async fn finds(backend: &Backend, flags: &[&str], words: &[&str]) {
    until("check reports the error", || async {
        let (succeeds, told) = backend.check(flags);
        let mut lines = told.lines().filter(|line| line.starts_with("WRONG"));
        let named = lines.any(|line| words.iter().all(|word| line.contains(word)));
        // Every reported error comes with a remedy after `->`.
        if !succeeds && named && told.contains("->") { Ok(()) } else { Err(told) }
    })
    .await;
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_a_server_that_works() {
    let plane = own().await;
    let backend = working(&plane).await;
    let (succeeds, told) = backend.check(&[]);
    assert!(succeeds && !told.contains("WRONG") && told.contains("available"), "{told}");
}

#[tokio::test]
async fn check_tells_failures_of_the_connection_apart() {
    let plane = own().await;
    let backend = working(&plane).await;
    let address = plane.url();
    let another = super::pki::Authority::new("another").pem();
    let unknown = Identity::token("unknown");
    for (server, authority, words) in [
        ("https://127.0.0.1:1", plane.authority(), "https://127.0.0.1:1: Connection refused"),
        (&*address, another, "its certificate is not signed by the configured"),
        (&*address, plane.authority(), "the credentials are not valid"),
    ] {
        let folder = tempfile::tempdir().expect("a folder can be created");
        let path = kubeconfig::write(folder.path(), server, &authority, &unknown);
        let flag = format!("--kubeconfig={}", path.expect("it can be written").display());
        finds(&backend, &[&flag], &["control plane", server, words]).await;
    }
}

#[tokio::test]
async fn missing_optional_permission_is_a_note() {
    let plane = own().await;
    let backend = working(&plane).await;
    let (succeeds, told) = backend.check(&[]);
    let note = "note  permissions of this server: optional: no permission to list secrets";
    assert!(succeeds && told.contains(note), "{told}");
}

#[tokio::test]
async fn check_names_what_is_wrong() {
    let mut plane = own().await;
    let backend = working(&plane).await;
    finds(&backend, &["--service-name=another"], &["APIService", "outside", "another"]).await;

    let binding = plane.get(DELEGATOR).await.expect("the binding exists");
    plane.delete(DELEGATOR).await;
    finds(&backend, &[], &["tokenreviews"]).await;
    finds(&backend, &[], &["subjectaccessreviews"]).await;
    let again = serde_json::json!({"apiVersion": binding["apiVersion"], "kind": binding["kind"],
        "metadata": {"name": binding["metadata"]["name"]}, "roleRef": binding["roleRef"],
        "subjects": binding["subjects"]});
    plane.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &again).await;

    plane.delete(API_SERVICE).await;
    finds(&backend, &[], &["APIService", "does not exist"]).await;

    plane.stop_kube_apiserver();
    finds(&backend, &[], &["control plane", "Connection refused"]).await;
    plane.start_kube_apiserver().await.expect("kube-apiserver starts again");
}

#[tokio::test]
async fn several_replicas_on_an_embedded_store_are_refused() {
    if std::env::var_os("TEST_ETCD_SERVERS").is_some() {
        // Those on etcd are not.
        return;
    }
    let plane = own().await;
    let backend = working(&plane).await;
    let labels = json!({"app": SERVER});
    let container = json!({"name": "server", "image": "server"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": SERVER},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    });
    plane.create(&format!("/apis/apps/v1/namespaces/{SERVER}/deployments"), &deployment).await;
    // The role of the server names its Deployment, which has the name of the Service.
    let name = format!("--service-name={SERVER}");
    finds(&backend, &[&name], &["replicas", "has 2 replicas"]).await;
    // The running server goes on, and another one does not start.
    assert!(!backend.has_ended());
    let second = Prepared::new(&plane, Certificate::OwnCa).await.flag(&name).spawn();
    until("the second server ends", || async {
        if second.has_ended() { Ok(()) } else { Err(second.log()) }
    })
    .await;
    assert!(second.log().contains("has 2 replicas"), "{}", second.log());
}
