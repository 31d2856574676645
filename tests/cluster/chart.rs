//! The chart of the manifests: install, upgrade, rollback and uninstall with Helm.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::time;

use super::backend::path;
use super::kubectl::Said;
use super::node::{MISSING, Node};
use super::objects::{self, API_SERVICE};
use super::plane::ControlPlane;
use super::site::own;
use super::tools::peers;
use super::wait::INTERVAL;

const NAMESPACE: &str = "charts";
const RELEASE: &str = "team";
/// The name of the objects.
const NAME: &str = "team-imagestream-apiserver";
/// Time of Helm for an image that is never pulled.
const SHORT: &str = "--timeout=8s";

/// Helm as admin, with a node that works while it runs.
struct Helm<'a> {
    plane: &'a ControlPlane,
    node: Node<'a>,
}

impl Helm<'_> {
    /// Runs Helm with the chart.
    async fn run(&mut self, command: &str, arguments: &[&str]) -> Said {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/chart");
        let chart = chart.display().to_string();
        // The node has changed the Service, as no cluster does.
        let all = [command, RELEASE, &chart, "--force-conflicts"];
        self.helm(&[&all[..], arguments].concat()).await
    }

    async fn helm(&mut self, arguments: &[&str]) -> Said {
        let admin = self.plane.user("admin", Some("system:masters")).identity();
        let kubeconfig = self.plane.kubeconfig(&admin).expect("the kubeconfig can be written");
        let home = tempfile::tempdir().expect("a temporary folder can be created");
        let folders = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME"];
        let file = |name: &str| home.path().join(name);
        let pipe =
            |name: &str| Stdio::from(File::create(file(name)).expect("a file can be created"));
        let mut child = Command::new(peers().expect("the peers are built").join("helm"))
            .env("KUBECONFIG", kubeconfig)
            .envs(folders.map(|name| (name, home.path())))
            .args(["--namespace", NAMESPACE])
            .args(arguments)
            .stdout(pipe("output"))
            .stderr(pipe("errors"))
            .spawn()
            .expect("Helm can be started");
        let mut interval = time::interval(INTERVAL);
        let status = loop {
            interval.tick().await;
            self.node.step().await;
            if let Some(status) = child.try_wait().expect("Helm can be awaited") {
                break status;
            }
        };
        let text = |name| std::fs::read_to_string(file(name)).expect("Helm writes text");
        Said { code: status.code(), output: text("output"), errors: text("errors") }
    }

    /// Lets the node work until the stream is served through kube-apiserver.
    async fn serves(&mut self, stream: &str) {
        let begun = time::Instant::now();
        while self.plane.get(stream).await.is_none() {
            assert!(begun.elapsed() < super::wait::DEADLINE, "not served: {}", self.node.log());
            self.node.step().await;
            time::sleep(INTERVAL).await;
        }
    }

    async fn deployment(&self) -> Option<Value> {
        self.plane.get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}")).await
    }

    async fn image(&self) -> String {
        let deployment = self.deployment().await.expect("the Deployment exists");
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().expect("it has an image").to_owned()
    }

    async fn registration(&self) -> Option<Value> {
        let found = self.plane.get(API_SERVICE).await?;
        Some(found["metadata"]["uid"].clone())
    }

    /// Asserts that discovery has no errors, which fail the deletion of namespaces.
    fn discovery_works(&self) {
        let admin = self.plane.user("admin", Some("system:masters")).identity();
        self.plane.kubectl(&admin, &["api-resources", "--output=name"]).done();
    }
}

#[tokio::test]
async fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let plane = own().await;
    plane.apply(&[objects::namespace(NAMESPACE)]);
    let mut helm = Helm { plane: &plane, node: Node::new(&plane, NAMESPACE) };
    let stream = path(NAMESPACE, "imagestreams/kept");

    let missing = format!("image.tag={MISSING}");
    let failed = helm.run("install", &["--set", &missing, SHORT]).await.failed();
    assert!(failed.contains("post-install"), "{failed}");
    assert!(helm.deployment().await.is_some());
    assert_eq!(helm.registration().await, None, "an API without a server is not registered");
    helm.discovery_works();

    let done = helm.run("upgrade", &["--reset-values", "--timeout=90s"]).await.done();
    assert!(done.contains("STATUS: deployed"), "{done}");
    let registration = helm.registration().await.expect("the server is registered");
    let list = path(NAMESPACE, "imagestreams");
    helm.serves(&list).await;
    plane.create(&list, &objects::stream("kept")).await;

    // The old server goes on while the new image cannot be pulled or refuses its flags.
    let good = helm.image().await;
    for value in [&*missing, "extraArgs={--no-such-flag}"] {
        let failed = helm.run("upgrade", &["--set", value, SHORT]).await.failed();
        assert!(failed.contains("pre-upgrade hooks failed"), "{value}: {failed}");
        assert_eq!(helm.image().await, good, "{value}");
        assert!(plane.get(&stream).await.is_some(), "{value}: the stream is served");
        helm.discovery_works();
    }

    let changed = ["--set", "resources.limits.memory=1Gi,image.tag=next", "--timeout=90s"];
    helm.run("upgrade", &changed).await.done();
    assert!(helm.image().await.ends_with(":next"));
    helm.serves(&stream).await;
    helm.helm(&["rollback", RELEASE, "2", "--force-conflicts", "--timeout=90s"]).await.done();
    assert_eq!(helm.image().await, good);
    helm.serves(&stream).await;
    let now = helm.registration().await;
    assert_eq!(now, Some(registration), "no upgrade deletes the APIService");

    helm.helm(&["uninstall", RELEASE, "--timeout=90s"]).await.done();
    assert_eq!(helm.registration().await, None);
    helm.discovery_works();
    assert_eq!(left(&plane).await, [format!("persistentvolumeclaims/{NAME}-data")]);

    helm.run("install", &["--timeout=90s"]).await.done();
    helm.serves(&stream).await;
    helm.helm(&["uninstall", RELEASE, "--timeout=90s"]).await.done();
}

/// The objects of the release that exist.
async fn left(plane: &ControlPlane) -> Vec<String> {
    let mut found = Vec::new();
    for (api, resource) in [
        ("api/v1", "services"),
        ("api/v1", "serviceaccounts"),
        ("api/v1", "persistentvolumeclaims"),
        ("apis/apps/v1", "deployments"),
        ("apis/batch/v1", "jobs"),
        ("apis/rbac.authorization.k8s.io/v1", "roles"),
        ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
        ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
        ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
        ("apis/networking.k8s.io/v1", "networkpolicies"),
        ("apis/policy/v1", "poddisruptionbudgets"),
    ] {
        let list = plane.get(&format!("/{api}/{resource}")).await.expect("it can be listed");
        let names = list["items"].as_array().into_iter().flatten();
        let names = names.filter_map(|object| object["metadata"]["name"].as_str());
        let ours = names.filter(|name| name.starts_with(NAME));
        found.extend(ours.map(|name| format!("{resource}/{name}")));
    }
    found
}
