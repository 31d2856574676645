//! `imagestream-apiserver check` with the flags of a server, against a real control plane.

use super::backend::{Backend, Certificate, Prepared};
use super::objects::{self, API_SERVICE};
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;

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
