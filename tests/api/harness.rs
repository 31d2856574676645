//! The server of a test, and the requests that most tests send.

use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use tokio::time;

pub(crate) use crate::support::expect::Expect;
pub(crate) use crate::support::server::{EMBEDDED, TestServer};

use crate::in_process::Server;
use crate::support::client::{Answer, Client, Request};
use crate::support::process::ServerProcess;

/// The path of the group version. Resources are below it.
pub(crate) const V1: &str = "/apis/image.openshift.io/v1";
/// The namespace of most tests.
pub(crate) const STREAMS: &str = "namespaces/ns/imagestreams";
pub(crate) const STREAM_IMAGES: &str = "namespaces/ns/imagestreamimages";
pub(crate) const MAPPINGS: &str = "namespaces/ns/imagestreammappings";

/// The timeout of [`eventually`].
const DEADLINE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(10);

/// A server in the test process, for most tests.
pub(crate) type Api = ApiOf<Server>;
/// A server in its own process, for tests of signals, exit codes, logs, memory, or a killed
/// process.
pub(crate) type ProcessApi = ApiOf<ServerProcess>;

/// A server and its client with all permissions.
pub(crate) struct ApiOf<S> {
    pub(crate) server: S,
    pub(crate) client: Client,
}

impl<S: TestServer> ApiOf<S> {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a server with additional flags.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let server = S::start(flags).await;
        Self { client: server.admin(), server }
    }

    /// Starts a server with a stream `s`.
    pub(crate) async fn with_stream() -> Self {
        let api = Self::start().await;
        api.post(STREAMS, &crate::fixtures::stream("s")).await.is(201);
        api
    }

    /// Starts a server on the embedded store, whatever the store of other tests is.
    pub(crate) async fn embedded() -> Self {
        Self::with(&[EMBEDDED]).await
    }

    /// Starts a server on the embedded store with a stream `s`.
    pub(crate) async fn embedded_with_stream() -> Self {
        let api = Self::embedded().await;
        api.post(STREAMS, &crate::fixtures::stream("s")).await.is(201);
        api
    }

    /// Starts the server again on the same folder.
    pub(crate) async fn restart(&mut self) {
        self.server.restart().await;
        self.client = self.server.admin();
    }
}

impl<S> ApiOf<S> {
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        let line = format!("{} {}", request.method, request.target);
        self.client.send(request).await.unwrap_or_else(|why| panic!("no response to {line}: {why}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path)).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.ask(request("GET", path).header("accept", accept)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(request("POST", path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(request("PUT", path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(request("DELETE", path)).await
    }

    /// Pushes an image to a tag of the stream `s`.
    pub(crate) async fn push(&self, tag: &str, image: &Value) {
        self.post(MAPPINGS, &crate::fixtures::mapping("s", tag, image)).await.is(201);
    }
}

/// Builds a request for a path below the group version.
pub(crate) fn request(method: &str, path: &str) -> Request {
    Request::new(method, &format!("{V1}/{path}"))
}

/// An image whose body is large enough to take memory while it arrives.
pub(crate) fn large_image(name: &str) -> serde_json::Value {
    let mut image = crate::fixtures::image(name);
    image["metadata"]["annotations"] = serde_json::json!({ "note": "x".repeat(8 << 10) });
    image
}

/// Returns true if these metrics show that a request holds memory.
pub(crate) fn shows_memory_in_use(metrics: &str) -> bool {
    metrics.lines().any(|line| {
        line.starts_with("imagestream_apiserver_memory_budget_used_bytes{") && !line.ends_with(" 0")
    })
}

/// Waits until a condition holds. Panics after [`DEADLINE`].
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let wait = async {
        let mut interval = time::interval(INTERVAL);
        while !condition().await {
            interval.tick().await;
        }
    };
    time::timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("condition not met within {DEADLINE:?}: {what}"));
}
