//! A server behind a control plane with tenants. Each tenant has all permissions in its own
//! namespace and none elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::fixtures::{mapping, stream};
use crate::harness::{EMBEDDED, Expect, TestServer, request};
use crate::in_process::Server;
use crate::support::client::{Answer, Client, Identity};

/// Has all permissions in `ten-a`.
pub(crate) const MALLORY: Tenant = Tenant { name: "mallory", namespace: "ten-a" };
/// Has all permissions in `ten-a` except pulling from its streams and replacing unreadable objects.
pub(crate) const MIKE: Tenant = Tenant { name: "mike", namespace: "ten-a" };
/// Has all permissions in `ten-b`.
pub(crate) const VICTOR: Tenant = Tenant { name: "victor", namespace: "ten-b" };
/// Has all permissions, and works in `ten-b`.
pub(crate) const ADMIN: Tenant = Tenant { name: "admin", namespace: "ten-b" };

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
}

/// A server and the access reviews that it sent.
pub(crate) struct Tenants {
    pub(crate) server: Server,
    reviews: Reviews,
    /// Ends the reviews of objects whose names start with `held-`.
    release: watch::Sender<bool>,
    _folder: TempDir,
}

/// User and attributes of each review.
type Reviews = Arc<Mutex<Vec<(String, Value)>>>;

impl Tenants {
    /// Starts the server and its control plane. `ten-a` has the streams `mine` and `more`, `ten-b`
    /// has `s`.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same on the embedded store, whatever the store of other tests is.
    pub(crate) async fn embedded() -> Self {
        Self::with(&[EMBEDDED]).await
    }

    async fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be created");
        let reviews = Reviews::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let release = watch::Sender::new(false);
        let app = control_plane(reviews.clone(), release.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "c", "user": {"token": "token-of-server"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).expect("the file can be written");
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        let flags = ["--authorization-mode=Webhook", "--authentication-skip-lookup", &kubeconfig];
        let flags: Vec<&str> = flags.into_iter().chain(more.iter().copied()).collect();
        let tenants =
            Self { server: Server::start(&flags).await, reviews, release, _folder: folder };
        for (tenant, name) in [(MALLORY, "mine"), (MALLORY, "more"), (VICTOR, "s")] {
            tenants.post(tenant, &tenant.path("imagestreams"), &stream(name)).await.is(201);
        }
        tenants
    }

    /// Replaces the store of the stopped server with that of another folder, and starts the server.
    pub(crate) async fn serve_instead(&mut self, folder: &std::path::Path) {
        let data = self.server.folder().join("data");
        std::fs::remove_dir_all(&data).expect("the old store can be removed");
        std::fs::rename(folder, &data).expect("the new store can be moved");
        self.server.restart().await;
    }

    pub(crate) fn client(&self, tenant: Tenant) -> Client {
        self.server.client(Identity::token(&format!("token-of-{}", tenant.name)))
    }

    pub(crate) async fn ask(
        &self,
        tenant: Tenant,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let request = request(method, path);
        let request = body.map_or_else(|| request.clone(), |body| request.clone().json(body));
        self.client(tenant).send(request).await.expect("a response")
    }

    pub(crate) async fn get(&self, tenant: Tenant, path: &str) -> Answer {
        self.ask(tenant, "GET", path, None).await
    }

    pub(crate) async fn post(&self, tenant: Tenant, path: &str, body: &Value) -> Answer {
        self.ask(tenant, "POST", path, Some(body)).await
    }

    /// Ends the reviews of objects whose names start with `held-`, which take until then.
    pub(crate) fn release_reviews(&self) {
        self.release.send_replace(true);
    }

    /// Pushes an image into a stream of the tenant.
    pub(crate) async fn push(
        &self,
        tenant: Tenant,
        stream: &str,
        tag: &str,
        image: &Value,
    ) -> Answer {
        self.post(tenant, &tenant.path("imagestreammappings"), &mapping(stream, tag, image)).await
    }

    /// Reads an image through a stream of the tenant.
    pub(crate) async fn shown(&self, tenant: Tenant, stream: &str, image: &str) -> Answer {
        self.get(tenant, &tenant.path(&format!("imagestreamimages/{stream}@{image}"))).await
    }

    /// Returns the attributes of the reviews for a user, except those of the requests themselves.
    pub(crate) fn reviews_of(&self, tenant: Tenant) -> Vec<Value> {
        let reviews = self.reviews.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = reviews.iter().filter(|(user, _)| user == tenant.name);
        let is_extra =
            |about: &Value| about["resource"] == "images" || about["subresource"] == "layers";
        of_user.map(|(_, about)| about.clone()).filter(is_extra).collect()
    }
}

impl Tenant {
    /// Returns the path of a resource in the tenant's namespace.
    pub(crate) fn path(&self, resource: &str) -> String {
        format!("namespaces/{}/{resource}", self.namespace)
    }

    fn may(&self, about: &Value) -> bool {
        let is_pull = about["resource"] == "imagestreams" && about["subresource"] == "layers";
        let is_unsafe = about["verb"] == "unsafe-delete-ignore-read-errors";
        self.name == ADMIN.name
            || about["namespace"] == self.namespace
                && !(self.name == MIKE.name && (is_pull || is_unsafe))
    }
}

fn control_plane(reviews: Reviews, release: watch::Sender<bool>) -> Router {
    let access = async move |body: Bytes| {
        let mut review = read(&body);
        let user = review["spec"]["user"].as_str().unwrap_or_default().to_owned();
        let about = review["spec"]["resourceAttributes"].clone();
        let tenant = [MALLORY, MIKE, VICTOR, ADMIN].into_iter().find(|tenant| tenant.name == user);
        review["status"] = json!({"allowed": tenant.is_some_and(|tenant| tenant.may(&about))});
        if about["name"].as_str().is_some_and(|name| name.starts_with("held-")) {
            let mut released = release.subscribe();
            released.wait_for(|released| *released).await.expect("the sender is alive");
        }
        reviews.lock().unwrap_or_else(PoisonError::into_inner).push((user, about));
        answer(StatusCode::CREATED, &review)
    };
    let token = async |body: Bytes| {
        let mut review = read(&body);
        let name =
            review["spec"]["token"].as_str().and_then(|token| token.strip_prefix("token-of-"));
        review["status"] = json!({"authenticated": true, "user": {"username": name}});
        answer(StatusCode::CREATED, &review)
    };
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let one = async move |Path(name): Path<String>| answer(StatusCode::OK, &namespace(&name));
    let items = [MALLORY.namespace, VICTOR.namespace].map(namespace);
    let list = json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": {"resourceVersion": "1"}, "items": items});
    Router::new()
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access))
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token))
        .route("/api/v1/namespaces", get(async move || answer(StatusCode::OK, &list)))
        .route("/api/v1/namespaces/{name}", get(one))
}

fn read(body: &Bytes) -> Value {
    serde_json::from_slice(body).expect("the server sends JSON")
}

fn answer(status: StatusCode, body: &Value) -> impl IntoResponse + use<> {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string())
}
