//! Outages of the server or of kube-apiserver, and a start of the server without kube-apiserver.

use super::backend::{Backend, Certificate, Prepared, path};
use super::objects::{self, V1};
use super::plane::ControlPlane;
use super::site::{SHOP, anonymous, front_proxy, furnish, image, on_behalf, own};
use super::wait::until;
use crate::support::client::{Answer, Request};
use crate::support::expect::Expect;

/// A registered server with an image that the user `viewer` may read.
async fn furnished(plane: &ControlPlane) -> Backend {
    let backend = Prepared::new(plane, Certificate::Issued).await.start().await;
    plane.register(&backend).await;
    furnish(plane).await;
    backend
}

/// Waits until `viewer` reads the image through kube-apiserver.
async fn reads_again(plane: &ControlPlane) {
    let viewer = plane.client(plane.user("viewer", None).identity());
    until("the image is read through kube-apiserver", || async {
        let answer = viewer
            .send_unchecked(Request::new("GET", &image()))
            .await
            .map_err(|why| why.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(text(&answer)) }
    })
    .await;
}

fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

#[tokio::test]
async fn the_group_is_served_again_after_a_restart_of_the_server() {
    let plane = own().await;
    let mut backend = furnished(&plane).await;
    reads_again(&plane).await;
    backend.kill();
    let viewer = plane.client(plane.user("viewer", None).identity());
    let away =
        viewer.send_unchecked(Request::new("GET", &image())).await.expect("kube-apiserver answers");
    assert_eq!(away.status, 503, "{}", text(&away));
    backend.start_again().await;
    reads_again(&plane).await;
    plane.available().await;
    assert!(backend.terminate().await.success(), "the server exits with success");
}

#[tokio::test]
async fn the_group_is_served_again_after_a_restart_of_kube_apiserver() {
    let mut plane = own().await;
    let backend = furnished(&plane).await;
    reads_again(&plane).await;
    plane.stop_kube_apiserver();
    plane.start_kube_apiserver().await.expect("kube-apiserver starts again");
    reads_again(&plane).await;
    plane.available().await;
    // The server resumes its own watches.
    let namespace = format!("after-restart-{}", backend.port());
    plane.create_namespace(&namespace).await;
    plane.delete(&format!("/api/v1/namespaces/{namespace}")).await;
    until("the server rejects new objects", || async {
        let request =
            Request::new("POST", &path(&namespace, "imagestreams")).json(&objects::stream("s"));
        let answer = plane.ask(request).await;
        if answer.status == 403 { Ok(()) } else { Err(text(&answer)) }
    })
    .await;
    assert!(!backend.has_ended(), "the server keeps running");
}

#[tokio::test]
async fn probes_and_discovery_work_without_kube_apiserver() {
    let mut plane = own().await;
    let backend = furnished(&plane).await;
    let proxy = front_proxy(&plane).identity();
    plane.stop_kube_apiserver();
    for probe in ["/readyz", "/livez", "/healthz"] {
        let answer = backend.ask(&anonymous(), Request::new("GET", probe)).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok".as_slice()), "{probe}");
    }
    for (user, groups) in
        [("system:kube-aggregator", &["system:masters"] as &[_]), ("system:aggregator", &[])]
    {
        for path in [V1, "/apis", "/openapi/v2", "/openapi/v3"] {
            backend.ask(&proxy, on_behalf(user, groups, "GET", path)).await.is(200);
        }
    }
    backend.ask(&anonymous(), Request::new("GET", V1)).await.is(403);
    plane.start_kube_apiserver().await.expect("kube-apiserver starts again");
    reads_again(&plane).await;
}

#[tokio::test]
async fn undecidable_requests_fail_without_kube_apiserver() {
    let mut plane = own().await;
    let backend = furnished(&plane).await;
    let proxy = front_proxy(&plane).identity();
    plane.stop_kube_apiserver();

    // The authorization of alice needs a SubjectAccessReview.
    let answer = backend.ask(&proxy, on_behalf("alice", &[], "GET", &image())).await;
    assert_eq!(answer.status, 500, "{}", text(&answer));
    let start = format!("Internal Server Error: \"{}\": ", image());
    assert!(text(&answer).contains(&start), "{}", text(&answer));
    // The token needs a TokenReview.
    let request = Request::new("GET", &image()).header("authorization", "Bearer unheard-of");
    let answer = backend.ask(&anonymous(), request).await;
    assert_eq!(answer.status, 503, "{}", text(&answer));
    assert!(text(&answer).contains("the bearer token could not be reviewed"), "{}", text(&answer));
    assert!(answer.header("retry-after").is_some(), "the response has Retry-After: {answer:?}");
    // The group system:masters needs no review, but creating an object needs the namespace to be
    // known.
    let create = |namespace: &str| {
        let request =
            on_behalf("admin", &["system:masters"], "POST", &path(namespace, "imagestreams"));
        request.json(&objects::stream("while-away"))
    };
    let answer = backend.ask(&proxy, create("never-heard-of")).await;
    assert!((500..600).contains(&answer.status), "{}", text(&answer));
    assert!(answer.header("retry-after").is_some(), "the response has Retry-After: {answer:?}");
    // The namespace is cached, so the request succeeds.
    backend.ask(&proxy, create(SHOP)).await.is(201);

    plane.start_kube_apiserver().await.expect("kube-apiserver starts again");
    reads_again(&plane).await;
    until("alice gets 403", || async {
        let answer = backend.ask(&proxy, on_behalf("alice", &[], "GET", &image())).await;
        if answer.status == 403 { Ok(()) } else { Err(text(&answer)) }
    })
    .await;
}

#[tokio::test]
async fn server_waits_for_kube_apiserver_at_start() {
    let mut plane = own().await;
    let prepared = Prepared::new(&plane, Certificate::Issued).await;
    plane.stop_kube_apiserver();
    let backend = prepared.spawn();
    until("the server logs the missing ConfigMap", || async {
        let log = backend.log();
        if log.contains("extension-apiserver-authentication") { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(!backend.has_ended(), "the server keeps waiting");
    plane.start_kube_apiserver().await.expect("kube-apiserver starts");
    backend.ready().await;
    plane.register(&backend).await;
    furnish(&plane).await;
    reads_again(&plane).await;
}
