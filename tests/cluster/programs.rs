//! The ClusterRoles for programs. A registry and a pruner, each a service account with only its
//! role, send the requests of the real programs (openshift/image-registry
//! `pkg/dockerregistry/server`, openshift/oc `pkg/cli/admin/prune/images`).

use serde_json::{Value, json};

use super::backend::{path, token};
use super::grants;
use super::objects::{self, V1};
use super::site::{Shared, shared};
use super::wait::until;
use crate::support::client::{Answer, Client, Identity, Request};
use crate::support::expect::Expect;

const NAMESPACE: &str = "programs";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// A program as a client of kube-apiserver.
struct Program(Client);

impl Program {
    /// A service account with only the ClusterRole `imagestream-apiserver:ROLE`. Waits until
    /// `first`, which the role allows, succeeds.
    async fn with(site: &Shared, name: &str, role: &str, first: &Request) -> Self {
        let role = format!("imagestream-apiserver:{role}");
        let account = grants::service_account(NAMESPACE, name);
        let binding =
            objects::binding("ClusterRoleBinding", "", name, ("ClusterRole", &role), &[account]);
        site.plane.apply(&[
            objects::namespace(NAMESPACE),
            objects::service_account(NAMESPACE, name),
            binding,
        ]);
        let program =
            Self(site.plane.client(Identity::token(&token(&site.plane, NAMESPACE, name).await)));
        until("the role is in effect", || async {
            let answer = program.ask(first.clone()).await;
            if answer.status == 403 {
                Err(String::from_utf8_lossy(&answer.body).into_owned())
            } else {
                Ok(())
            }
        })
        .await;
        program
    }

    async fn ask(&self, request: Request) -> Answer {
        let line = format!("{} {}", request.method, request.target);
        self.0
            .send_unchecked(request)
            .await
            .unwrap_or_else(|why| panic!("no response to {line}: {why}"))
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Request::new("GET", path)).await
    }

    /// Asserts that the role does not allow the request.
    async fn is_forbidden(&self, method: &str, path: &str) {
        let answer = self.ask(Request::new(method, path)).await;
        assert_eq!(
            answer.status,
            403,
            "{method} {path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
}

fn digest(last: u8) -> String {
    format!("sha256:{:064x}", 0xbeef_0000_u64 + u64::from(last))
}

fn image(name: &str) -> Value {
    json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name},
        "dockerImageReference": format!("registry.example.com/programs/app@{name}")})
}

/// Creates a stream with one image under its tag `latest`.
async fn furnish(site: &Shared, stream: &str, image: &str) {
    site.plane.apply(&[objects::namespace(NAMESPACE)]);
    let collection = |name: &str| path(NAMESPACE, name);
    let stream_object = objects::stream(stream);
    site.plane
        .ask(Request::new("POST", &collection("imagestreams")).json(&stream_object))
        .await
        .is(201);
    let mapping = objects::mapping(stream, image);
    site.plane
        .ask(Request::new("POST", &collection("imagestreammappings")).json(&mapping))
        .await
        .is(201);
}

#[tokio::test]
async fn a_registry_may_do_all_that_a_push_and_a_pull_take() {
    let site = shared().await;
    furnish(&site, "pushed", &digest(1)).await;
    let stream = path(NAMESPACE, "imagestreams/pushed");
    let registry =
        Program::with(&site, "registry", "registry", &Request::new("GET", &stream)).await;

    // The registry checks the right of a user to pull the layers of a stream.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": "alice", "resourceAttributes": {"namespace": NAMESPACE, "verb": "get", "group": "image.openshift.io",
            "resource": "imagestreams", "subresource": "layers", "name": "pushed"}}});
    let review = registry.ask(Request::new("POST", REVIEWS).json(&review)).await.is(201);
    assert_eq!(review["status"]["allowed"], false, "{review}");

    // Requests of a push.
    let mapping = objects::mapping("pushed", &digest(2));
    let request = Request::new("POST", &path(NAMESPACE, "imagestreammappings")).json(&mapping);
    registry.ask(request).await.is(201);
    let mut pushed = registry.get(&format!("{V1}/images/{}", digest(2))).await.is(200);
    pushed["metadata"]["annotations"] =
        json!({"image.openshift.io/dockerLayersOrder": "ascending"});
    registry
        .ask(Request::new("PUT", &format!("{V1}/images/{}", digest(2))).json(&pushed))
        .await
        .is(200);
    registry
        .ask(Request::new("POST", &format!("{V1}/images")).json(&image(&digest(3))))
        .await
        .is(201);

    // Requests of a pull.
    registry
        .get(&path(NAMESPACE, &format!("imagestreamimages/pushed@{}", digest(2))))
        .await
        .is(200);
    registry.get(&path(NAMESPACE, "imagestreamtags/pushed:latest")).await.is(200);
    registry.get(&format!("{stream}/layers")).await.is(200);
    registry.get(&format!("{V1}/imagestreams")).await.is(200);

    // Deletion of a tag and of images.
    let tag = path(NAMESPACE, "imagestreamtags/pushed:latest");
    registry.ask(Request::new("DELETE", &tag)).await.is(200);
    registry.ask(Request::new("DELETE", &format!("{V1}/images/{}", digest(3)))).await.is(200);

    registry.is_forbidden("DELETE", &stream).await;
    registry.is_forbidden("GET", &format!("/api/v1/namespaces/{NAMESPACE}/secrets")).await;
    registry.is_forbidden("GET", "/api/v1/pods").await;
}

#[tokio::test]
async fn a_pruner_may_see_all_that_uses_images_and_take_them_away() {
    let site = shared().await;
    furnish(&site, "pruned", &digest(11)).await;
    let images = format!("{V1}/images?limit=5000");
    let pruner = Program::with(&site, "pruner", "pruner", &Request::new("GET", &images)).await;

    for used_by in [
        "/api/v1/pods",
        "/api/v1/replicationcontrollers",
        "/apis/apps/v1/daemonsets",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/replicasets",
        "/apis/apps/v1/statefulsets",
        "/apis/batch/v1/jobs",
        "/apis/batch/v1/cronjobs",
        "/api/v1/limitranges",
        &format!("{V1}/imagestreams"),
        &images,
    ] {
        pruner.get(used_by).await.is(200);
    }
    // For an API that is not installed the status must be 404: oc ignores 404 but stops at 403.
    for absent in [
        "/apis/build.openshift.io/v1/buildconfigs",
        "/apis/build.openshift.io/v1/builds",
        "/apis/apps.openshift.io/v1/deploymentconfigs",
    ] {
        let answer = pruner.get(absent).await;
        assert_eq!(answer.status, 404, "{absent}: {}", String::from_utf8_lossy(&answer.body));
    }

    let stream = path(NAMESPACE, "imagestreams/pruned");
    let mut pruned = pruner.get(&stream).await.is(200);
    pruned["status"]["tags"] = json!([]);
    pruner.ask(Request::new("PUT", &format!("{stream}/status")).json(&pruned)).await.is(200);
    pruner.ask(Request::new("DELETE", &format!("{V1}/images/{}", digest(11)))).await.is(200);

    pruner.is_forbidden("DELETE", &stream).await;
    pruner.is_forbidden("GET", "/api/v1/secrets").await;
    pruner.is_forbidden("DELETE", &format!("/api/v1/namespaces/{NAMESPACE}/pods")).await;
}
