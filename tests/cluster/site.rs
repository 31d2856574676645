//! The control planes of the tests. Starting one takes seconds, so a test process has two: one is
//! shared by the tests that leave it running; the other is for tests that restart it, rotate its
//! certificates or register their own server, one test at a time.

use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::backend::{Backend, Certificate, Prepared, path};
use super::child::LogsOfFailure;
use super::grants::user;
use super::objects::{self, API_SERVICE};
use super::pki::Pair;
use super::plane::ControlPlane;
use crate::support::client::{Identity, Request};
use crate::support::expect::Expect;

/// The namespace of the stream `hello`, which has one image.
pub(crate) const SHOP: &str = "shop";
/// The image of the stream.
pub(crate) use super::objects::DIGEST;

/// Kinds of the manifests that also apply to a server outside of the cluster.
const KINDS: [&str; 6] =
    ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// A control plane with a registered server.
pub(crate) struct Site {
    pub(crate) plane: ControlPlane,
    pub(crate) backend: Backend,
}

pub(crate) struct Shared {
    site: &'static Site,
    _logs: LogsOfFailure,
}

/// A control plane for one test at a time, without a registered server.
pub(crate) struct Own {
    plane: MutexGuard<'static, Option<ControlPlane>>,
    logs: Option<LogsOfFailure>,
}

/// Returns the shared site with the objects of [`furnish`]. It runs until the test process ends.
pub(crate) async fn shared() -> Shared {
    static SITE: OnceCell<Result<Site, String>> = OnceCell::const_new();
    // A failed start is kept, so that other tests fail at once instead of trying again.
    let open = || async {
        let opened = AssertUnwindSafe(open_shared()).catch_unwind().await;
        opened
            .map_err(|_| "a panic that is printed elsewhere".to_owned())?
            .map_err(|why| format!("{why:#}"))
    };
    let site = SITE.get_or_init(open).await.as_ref();
    let site = site.unwrap_or_else(|why| panic!("the shared control plane did not start: {why}"));
    let mut logs = site.plane.logs();
    logs.push(site.backend.log_path());
    Shared { site, _logs: LogsOfFailure(logs) }
}

async fn open_shared() -> anyhow::Result<Site> {
    let plane = ControlPlane::start().await?;
    install(&plane);
    let backend = Prepared::new(&plane, Certificate::Issued).await.start_for_all_tests().await;
    plane.register(&backend).await;
    furnish(&plane).await;
    Ok(Site { plane, backend })
}

/// Returns the control plane for one test at a time. It is running, without a registered server.
pub(crate) async fn own() -> Own {
    static PLANE: Mutex<Option<ControlPlane>> = Mutex::const_new(None);
    let mut plane = PLANE.lock().await;
    match plane.as_mut() {
        Some(plane) => plane.start_kube_apiserver().await.expect("kube-apiserver starts again"),
        None => {
            let new = ControlPlane::start().await.expect("a control plane starts");
            install(&new);
            *plane = Some(new);
        }
    }
    let running = plane.as_ref().expect("the control plane has just been started");
    running.delete(API_SERVICE).await;
    let logs = Some(LogsOfFailure(running.logs()));
    Own { plane, logs }
}

/// Applies the manifests that also hold for a server outside of the cluster: its service account
/// and RBAC rules.
fn install(plane: &ControlPlane) {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let at = |name: &str| manifests.join(name).display().to_string();
    let admin = plane.user("admin", Some("system:masters")).identity();
    let built = plane.kubectl(&admin, &["kustomize", &at("overlays/embedded")]).done();
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&built).expect("kubectl writes YAML");
    objects.retain(|object| object["kind"].as_str().is_some_and(|kind| KINDS.contains(&kind)));
    plane.apply(&objects);
    // This component is not part of the overlay.
    let secret = at("components/cert-secret/secret.yaml");
    plane
        .kubectl(&admin, &["apply", "--server-side", "--validate=false", "--filename", &secret])
        .done();
}

/// Creates the namespace, the stream and its image, and grants the user `viewer` the right to read
/// the image. Existing objects are kept.
pub(crate) async fn furnish(plane: &ControlPlane) {
    plane.apply(&[objects::namespace(SHOP)]);
    plane.grant(SHOP, &user("viewer"), &["get"], &["imagestreamimages"]).await;
    let admin = plane.admin();
    for (collection, object) in [
        ("imagestreams", objects::stream("hello")),
        ("imagestreammappings", objects::mapping("hello", DIGEST)),
    ] {
        let request = Request::new("POST", &path(SHOP, collection)).json(&object);
        admin.send(request).await.expect("kube-apiserver answers").is(201);
    }
}

/// The path of the stream's image.
pub(crate) fn image() -> String {
    path(SHOP, &format!("imagestreamimages/hello@{DIGEST}"))
}

/// Issues a front-proxy certificate as kube-apiserver has it, for requests to the server's own
/// port.
pub(crate) fn front_proxy(plane: &ControlPlane) -> Pair {
    plane.authorities.front_proxy.user(super::plane::FRONT_PROXY, None)
}

/// A request in the name of a user, as the aggregation proxy of kube-apiserver sends it.
pub(crate) fn on_behalf(user: &str, groups: &[&str], method: &str, path: &str) -> Request {
    let request = Request::new(method, path).header("x-remote-user", user);
    groups.iter().fold(request, |request, group| request.header("x-remote-group", group))
}

/// A client without credentials.
pub(crate) fn anonymous() -> Identity {
    Identity::default()
}

impl Deref for Shared {
    type Target = Site;

    fn deref(&self) -> &Site {
        self.site
    }
}

impl Deref for Own {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.plane.as_ref().expect("the control plane has been started")
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut ControlPlane {
        self.plane.as_mut().expect("the control plane has been started")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.logs = None;
        if std::thread::panicking() {
            // A failed test may leave the control plane in any state, so the next test starts a new
            // one.
            *self.plane = None;
        }
    }
}
