//! Minimal control plane: TokenReviews and SubjectAccessReviews, decided by a rule and recorded,
//! and namespaces. It has its own thread and runtime.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Segment, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time;

/// Decides a SubjectAccessReview from its `spec`.
pub(crate) type Rule = fn(&Value) -> bool;

/// Control plane that runs as long as this process.
pub(crate) struct Plane {
    state: Arc<Records>,
}

struct Records {
    rule: Rule,
    /// Delay of each review, as from a distant or busy control plane.
    answer_after: Duration,
    /// `spec` of each SubjectAccessReview, in order of arrival.
    reviews: Mutex<Vec<Value>>,
    /// Number of TokenReviews.
    tokens: watch::Sender<usize>,
}

impl Plane {
    /// Starts a control plane and writes its kubeconfig.
    pub(crate) fn start(rule: Rule, answer_after: Duration, kubeconfig: &Path) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("the listener supports non-blocking mode");
        let address = listener.local_addr().expect("a listener has an address");
        fs::write(kubeconfig, config(address).to_string()).expect("the kubeconfig is writable");
        let state = Arc::new(Records {
            rule,
            answer_after,
            reviews: Mutex::default(),
            tokens: watch::Sender::new(0),
        });
        let app = app(state.clone());
        thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(async {
                let listener =
                    TcpListener::from_std(listener).expect("the listener does not block");
                axum::serve(listener, app).await.expect("serving never ends");
            });
        });
        Self { state }
    }

    /// Waits until this many TokenReviews have arrived.
    pub(crate) async fn token_reviews(&self, count: usize) {
        let mut arrived = self.state.tokens.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.expect("the sender is alive");
    }

    /// Takes the specs of the SubjectAccessReviews since the last call.
    pub(crate) fn take_reviews(&self) -> Vec<Value> {
        std::mem::take(&mut *self.state.reviews.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Permits each user everything in the namespace of the same name.
pub(crate) fn own_namespace_only(spec: &Value) -> bool {
    let namespace = &spec["resourceAttributes"]["namespace"];
    namespace.is_string() && *namespace == spec["user"]
}

/// Permits every user everything.
pub(crate) fn everything(_spec: &Value) -> bool {
    true
}

/// Permits only `vic`, whom the attacks must not affect.
pub(crate) fn nothing(spec: &Value) -> bool {
    spec["user"] == "vic"
}

/// Kubeconfig in JSON, which is valid YAML.
fn config(address: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "c", "user": {"token": "token-of-server"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    })
}

fn app(state: Arc<Records>) -> Router {
    Router::new()
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(review_access))
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review_token))
        .route("/api/v1/namespaces", get(namespaces))
        .route(
            "/api/v1/namespaces/{name}",
            get(async |Segment(name): Segment<String>| answer(200, &namespace(&name))),
        )
        .with_state(state)
}

async fn review_access(State(state): State<Arc<Records>>, body: Bytes) -> Response {
    time::sleep(state.answer_after).await;
    let mut review: Value = serde_json::from_slice(&body).expect("a review is JSON");
    review["status"] = json!({"allowed": (state.rule)(&review["spec"])});
    state.reviews.lock().unwrap_or_else(PoisonError::into_inner).push(review["spec"].clone());
    answer(201, &review)
}

/// Authenticates `reviewed-NAME` as the user `NAME`, even if empty, and no other token.
async fn review_token(State(state): State<Arc<Records>>, body: Bytes) -> Response {
    state.tokens.send_modify(|arrived| *arrived += 1);
    time::sleep(state.answer_after).await;
    let mut review: Value = serde_json::from_slice(&body).expect("a review is JSON");
    let name = review["spec"]["token"].as_str().and_then(|token| token.strip_prefix("reviewed-"));
    review["status"] = match name {
        Some(name) => {
            json!({"authenticated": true, "user": {"username": name, "groups": ["reviewed"]}})
        }
        None => json!({"authenticated": false}),
    };
    answer(201, &review)
}

fn answer(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).expect("the response is valid")
}

/// List of namespaces, or a watch that never sends an event.
async fn namespaces(RawQuery(query): RawQuery) -> Response {
    if query.is_some_and(|query| query.contains("watch=")) {
        return Response::new(
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
        );
    }
    let items = ["mal", "vic"].map(namespace);
    let list = json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": {"resourceVersion": "1"}, "items": items});
    answer(200, &list)
}

/// Active namespace.
fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "resourceVersion": "1"},
        "status": {"phase": "Active"}})
}
