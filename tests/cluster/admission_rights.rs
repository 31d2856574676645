//! A server that may not list the rules of the cluster for writes.

use serde_json::{Value, json};

use super::backend::{Certificate, Prepared, path};
use super::objects::{self, SERVER};
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;
use crate::support::client::Request;
use crate::support::expect::Expect;

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/imagestream-apiserver:server";
const NAMESPACE: &str = "admission-rights";
const RESOURCE: &str = "validatingwebhookconfigurations";

/// Waits until kube-apiserver allows the server to list the configurations, or denies it.
async fn until_allowed(plane: &ControlPlane, expected: bool) {
    let group = "admissionregistration.k8s.io";
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{SERVER}:{SERVER}"),
            "resourceAttributes": {"group": group, "verb": "list", "resource": RESOURCE},
        },
    });
    let request = Request::new("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    let request = request.json(&review);
    until("the rights are in effect", || async {
        let review = plane.ask(request.clone()).await.is(201);
        if review["status"]["allowed"] == expected { Ok(()) } else { Err(review.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn missing_rule_is_named_until_the_manifest_is_applied() {
    let plane = own().await;
    plane.create_namespace(NAMESPACE).await;
    let role = plane.get(ROLE).await.expect("the manifests have the role");
    let mut rules = role["rules"].as_array().cloned().expect("it has rules");
    for rule in &mut rules {
        let resources = rule["resources"].as_array_mut().expect("a rule has resources");
        resources.retain(|resource| resource != RESOURCE);
    }
    plane.patch(ROLE, &json!({"rules": rules})).await;
    until_allowed(&plane, false).await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.start().await;
    plane.register(&backend).await;

    let remedy = "allow this server's user to get, list and watch validatingwebhookconfigurations in \
                  admissionregistration.k8s.io (manifests/base/rbac-server.yaml does)";
    let refused = plane.ask(create("refused")).await.is(403);
    let text = refused["message"].as_str().unwrap_or_default();
    let start = "imagestreams.image.openshift.io \"refused\" is forbidden: not yet ready to handle request: ";
    assert!(text.starts_with(start) && text.ends_with(remedy), "{text}");
    plane.ask(Request::new("GET", &path(NAMESPACE, "imagestreams"))).await.is(200);
    let log = backend.log();
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
    assert!(lines.any(|line| line.to_string().contains(remedy)), "{log}");
    let known = |lists: u8| {
        format!("imagestream_apiserver_admission_rules_known{{resource=\"{RESOURCE}\"}} {lists}")
    };
    let metrics = async || {
        let admin = plane.user("admin", Some("system:masters")).identity();
        let answer = backend.ask(&admin, Request::new("GET", "/metrics")).await;
        String::from_utf8_lossy(&answer.body).into_owned()
    };
    let shown = metrics().await;
    assert!(shown.contains(&known(0)), "{shown}");
    let (succeeds, told) = backend.check(&[]);
    let mut wrong = told.lines().filter(|line| line.starts_with("WRONG"));
    assert!(!succeeds && wrong.any(|line| line.contains(RESOURCE)), "{told}");

    plane.patch(ROLE, &json!({"rules": role["rules"]})).await;
    until("the write is admitted", || async {
        let answer = plane.ask(create("admitted")).await;
        match answer.status {
            201 => Ok(()),
            code => Err(format!("{code}: {}", String::from_utf8_lossy(&answer.body))),
        }
    })
    .await;
    let shown = metrics().await;
    assert!(shown.contains(&known(1)), "{shown}");
}

fn create(name: &str) -> Request {
    Request::new("POST", &path(NAMESPACE, "imagestreams")).json(&objects::stream(name))
}
