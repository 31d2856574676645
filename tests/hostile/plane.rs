//! As much of a control plane as the server asks for: reviews of tokens and of access, which it decides
//! by rule and records, and namespaces. It has a thread and a runtime of its own.

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

/// Decides whether the user in the `spec` of a SubjectAccessReview may do what it names.
pub(crate) type Rule = fn(&Value) -> bool;

/// A control plane that answers as long as this process runs.
pub(crate) struct Plane {
    state: Arc<Records>,
}

struct Records {
    rule: Rule,
    /// Time that each review takes, as in a control plane that is far away or busy.
    answer_after: Duration,
    /// Each `spec` of a SubjectAccessReview, in order of arrival.
    reviews: Mutex<Vec<Value>>,
    /// Number of TokenReviews that have arrived.
    tokens: watch::Sender<usize>,
}

impl Plane {
    /// Starts a control plane and writes the kubeconfig that leads to it.
    pub(crate) fn start(rule: Rule, answer_after: Duration, kubeconfig: &Path) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a listener can be told not to block");
        let address = listener.local_addr().expect("a listener has an address");
        fs::write(kubeconfig, config(address).to_string()).expect("the kubeconfig can be written");
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
                axum::serve(listener, app).await.expect("it is served for ever");
            });
        });
        Self { state }
    }

    /// Waits until this many TokenReviews have arrived.
    pub(crate) async fn token_reviews(&self, count: usize) {
        let mut arrived = self.state.tokens.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.expect("the sender is here");
    }

    /// Takes the reviews of access that were asked for since the last call.
    pub(crate) fn take_reviews(&self) -> Vec<Value> {
        std::mem::take(&mut *self.state.reviews.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A user may do anything in the namespace of the same name.
pub(crate) fn own_namespace_only(spec: &Value) -> bool {
    let namespace = &spec["resourceAttributes"]["namespace"];
    namespace.is_string() && *namespace == spec["user"]
}

/// Every user may do everything.
pub(crate) fn everything(_spec: &Value) -> bool {
    true
}

/// Nobody may do anything but `vic`, who must not notice what others try.
pub(crate) fn nothing(spec: &Value) -> bool {
    spec["user"] == "vic"
}

/// A kubeconfig in JSON, which YAML includes.
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

/// Knows `reviewed-NAME` as a token of the user `NAME`, whatever that is, and no other.
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
    response.body(Body::from(body.to_string())).expect("the answer is one")
}

/// The list of namespaces, or a watch in which nothing ever happens.
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

/// Every namespace is there.
fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "resourceVersion": "1"},
        "status": {"phase": "Active"}})
}
