//! Minimal control plane over TLS in a thread of this process: it approves all TokenReviews and
//! SubjectAccessReviews, counts them, and serves the one namespace.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::{get, post};
use base64::prelude::{BASE64_STANDARD, Engine};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::caller::{DEVELOPER, DEVELOPERS};
use crate::corpus::NAMESPACE;
use crate::listen::{self, Pair};

/// Control plane that runs as long as this process.
pub(crate) struct ControlPlane {
    reviews: Arc<AtomicUsize>,
}

impl ControlPlane {
    /// Starts a control plane and writes its kubeconfig.
    ///
    /// # Errors
    /// No port is free, or the file cannot be written.
    pub(crate) fn start(kubeconfig: &Path) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
        fs::write(kubeconfig, config(listener.local_addr()?, &certificate.pem()).to_string())?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let pair = Pair { chain: vec![certificate.der().clone()], key };
        let reviews = Arc::default();
        let app = app(&reviews);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            let served = runtime.block_on(async {
                listen::serve(TcpListener::from_std(listener)?, pair, app).await
            });
            // A scenario that needs the control plane then fails with this error.
            served.context("the control plane ended")
        });
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

fn app(reviews: &Arc<AtomicUsize>) -> Router {
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
        .route("/api/v1/namespaces", get(namespaces))
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

/// List of namespaces, or the watch after it, which never sends an event.
async fn namespaces(RawQuery(query): RawQuery) -> Response {
    if query.is_some_and(|query| query.contains("watch=true")) {
        return answer(
            StatusCode::OK,
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
        );
    }
    let list = json!({
        "apiVersion": "v1",
        "kind": "NamespaceList",
        "metadata": {"resourceVersion": "1"},
        "items": [namespace()],
    });
    answer(StatusCode::OK, Body::from(list.to_string()))
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
