//! The manifests against a real API server.

use super::manifests;
use super::site::shared;

#[tokio::test]
async fn every_object_of_every_overlay_is_taken_by_the_api_server() {
    let site = shared().await;
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    let kubeconfig = site.plane.kubeconfig(&admin).expect("a kubeconfig can be written");
    manifests::check(&site.plane.tools.path("kubectl"), &kubeconfig);
}

#[tokio::test]
async fn the_server_may_change_its_api_service_but_create_none() {
    let site = shared().await;
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    let server = "system:serviceaccount:imagestream-apiserver:imagestream-apiserver";
    let may = |verb: &str, what: &str| {
        let said = site.plane.kubectl(&admin, &["auth", "can-i", verb, what, "--as", server]);
        said.output.trim() == "yes"
    };
    assert!(may("patch", "apiservices.apiregistration.k8s.io/v1.image.openshift.io"));
    assert!(!may("patch", "apiservices.apiregistration.k8s.io/v1.apps"));
    assert!(!may("create", "apiservices.apiregistration.k8s.io"));
    assert!(!may("get", "secrets"));
}
