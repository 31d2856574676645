//! Minimal control plane over TLS in a thread of this process: it approves all TokenReviews and
//! SubjectAccessReviews, counts them, and serves the one namespace and configurations of webhooks.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use base64::prelude::{BASE64_STANDARD, Engine};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::caller::{DEVELOPER, DEVELOPERS};
use crate::corpus::NAMESPACE;
use crate::listen::{self, Served};

/// Control plane that runs as long as this process.
pub(crate) struct ControlPlane {
    reviews: Arc<AtomicUsize>,
}

impl ControlPlane {
    /// Starts a control plane with these validating webhooks and writes its kubeconfig.
    ///
    /// # Errors
    /// No port is free, or the file cannot be written.
    pub(crate) fn start(kubeconfig: &Path, webhooks: &[Value]) -> anyhow::Result<Self> {
        let reviews = Arc::default();
        let Served { address, certificate } = listen::start(app(&reviews, webhooks))?;
        fs::write(kubeconfig, config(address, &certificate).to_string())?;
        Ok(Self { reviews })
    }

    /// Number of reviews so far.
    pub(crate) fn reviews(&self) -> usize {
        self.reviews.load(Ordering::Relaxed)
    }
}

/// Kubeconfig in JSON, which is valid YAML.
fn config(address: SocketAddr, certificate: &str) -> Value {
    let cluster = json!({"server": format!("https://{address}"), "certificate-authority-data": BASE64_STANDARD.encode(certificate)});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "load",
        "clusters": [{"name": "load", "cluster": cluster}],
        "users": [{"name": "load", "user": {"token": "token-of-server"}}],
        "contexts": [{"name": "load", "context": {"cluster": "load", "user": "load"}}],
    })
}

fn app(reviews: &Arc<AtomicUsize>, webhooks: &[Value]) -> Router {
    let review = |group: &'static str, kind: &'static str, status: Value| {
        let reviews = reviews.clone();
        post(async move || {
            reviews.fetch_add(1, Ordering::Relaxed);
            let version = format!("{group}/v1");
            let review = json!({"apiVersion": version, "kind": kind, "metadata": {}, "spec": {}, "status": status});
            answer(StatusCode::CREATED, Body::from(review.to_string()))
        })
    };
    let user = json!({"username": DEVELOPER, "groups": [DEVELOPERS]});
    Router::new()
        .route(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            review("authorization.k8s.io", "SubjectAccessReview", json!({"allowed": true})),
        )
        .route(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            review(
                "authentication.k8s.io",
                "TokenReview",
                json!({"authenticated": true, "user": user}),
            ),
        )
        .route("/api/v1/namespaces", collection("v1", "NamespaceList", vec![namespace()]))
        .merge(admission(webhooks))
        .route(
            // The server requests a single namespace if a create arrives before its list of
            // namespaces.
            &format!("/api/v1/namespaces/{NAMESPACE}"),
            get(async || answer(StatusCode::OK, Body::from(namespace().to_string()))),
        )
        .fallback(async || {
            answer(StatusCode::NOT_FOUND, Body::from(r#"{"kind": "Status", "code": 404}"#))
        })
}

/// The configurations of webhooks.
fn admission(webhooks: &[Value]) -> Router {
    const VERSION: &str = "admissionregistration.k8s.io/v1";
    let group = format!("/apis/{VERSION}");
    let resources = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": [],
    });
    let configuration =
        json!({"metadata": {"name": "load", "resourceVersion": "1"}, "webhooks": webhooks});
    let validating = if webhooks.is_empty() { Vec::new() } else { vec![configuration] };
    Router::new()
        .route(&group, get(async move || answer(StatusCode::OK, Body::from(resources.to_string()))))
        .route(
            &format!("{group}/mutatingwebhookconfigurations"),
            collection(VERSION, "MutatingWebhookConfigurationList", Vec::new()),
        )
        .route(
            &format!("{group}/validatingwebhookconfigurations"),
            collection(VERSION, "ValidatingWebhookConfigurationList", validating),
        )
}

/// List of objects, or the watch after it, which never sends an event.
fn collection(api_version: &'static str, kind: &'static str, items: Vec<Value>) -> MethodRouter {
    get(async move |RawQuery(query): RawQuery| {
        if query.is_some_and(|query| query.contains("watch=true")) {
            let never = stream::pending::<Result<Bytes, std::io::Error>>();
            return answer(StatusCode::OK, Body::from_stream(never));
        }
        let list = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"resourceVersion": "1"},
            "items": items,
        });
        answer(StatusCode::OK, Body::from(list.to_string()))
    })
}

fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "resourceVersion": "1"},
        "status": {"phase": "Active"},
    })
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
