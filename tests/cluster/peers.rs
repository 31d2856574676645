//! Third-party clients work through kube-apiserver: the Kubernetes client for Python, OpenShift's
//! Go clients, and Helm.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::backend::path;
use super::grants::user;
use super::objects;
use super::site::{Shared, shared};
use super::tools::peers;

/// Runs a program and returns its output. Panics with its error output when it fails.
#[track_caller]
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program can be run");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The path of a file in this directory.
pub(super) fn beside(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(file).display().to_string()
}

/// Runs one part of the Python program as a user with the role `edit` in a new namespace and
/// returns the printed JSON values.
async fn python(namespace: &str, part: &str) -> Vec<Value> {
    let site = shared().await;
    site.plane.create_namespace(namespace).await;
    site.plane.bind(namespace, &user("snake"), "edit", ("create", "imagestreams")).await;
    let kubeconfig = site
        .plane
        .kubeconfig(&site.plane.user("snake", None).identity())
        .expect("the kubeconfig can be written");
    let program = peers().expect("the third-party clients are built").join("python/bin/python");
    let told = run(Command::new(program)
        .arg(beside("peers/streams.py"))
        .arg(kubeconfig)
        .args([namespace, part]));
    told.lines().map(|line| serde_json::from_str(line).expect("the program prints JSON")).collect()
}

#[tokio::test]
async fn the_python_client_lists_pages_patches_and_deletes_streams() {
    let told = python("python-writes", "write").await;
    let wanted = [
        json!({"kind": "ImageStreamList", "names": ["a", "b", "c"], "version": true}),
        json!({"selected": ["a", "c"]}),
        json!({"named": ["b"]}),
        json!({"pages": [["a", "b"], ["c"]]}),
        json!({"annotations": {"merged": "yes"}, "labels": {"letter": "a", "patched": "yes"}, "tags": ["stable"],
            "local": true}),
        json!({"refused": 409, "reason": "Conflict"}),
        json!({"refused": 404, "reason": "NotFound"}),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn the_python_client_watches_streams_while_they_change() {
    let told = python("python-watches", "watch").await;
    let wanted = [
        json!({"event": "ADDED", "name": "first", "labels": {}}),
        json!({"event": "MODIFIED", "name": "first", "labels": {"seen": "yes"}}),
        json!({"event": "ADDED", "name": "second", "labels": {}}),
        json!({"event": "DELETED", "name": "first", "labels": {"seen": "yes"}}),
    ];
    assert_eq!(told, wanted);
}

/// Runs one part of the OpenShift client program as admin in a new namespace and returns the
/// completed steps.
async fn openshift(namespace: &str, part: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let site = shared().await;
    site.plane.create_namespace(namespace).await;
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    let kubeconfig = site.plane.kubeconfig(&admin).expect("the kubeconfig can be written");
    let program = peers().expect("the third-party clients are built").join("openshift");
    let mut command = Command::new(program);
    command.arg(kubeconfig).args([namespace, part]).envs(variables.iter().copied());
    run(&mut command).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn openshifts_clients_write_read_and_watch_streams() {
    let steps = [
        "creates and reads streams",
        "lists streams",
        "updates streams",
        "patches streams",
        "applies streams",
        "watches streams",
        "deletes streams and reads secrets",
    ];
    assert_eq!(openshift("openshift-streams", "streams", &[]).await, steps);
}

#[tokio::test]
async fn openshifts_clients_push_tag_and_sign_images() {
    let steps = [
        "pushes images",
        "reads images of streams and their layers",
        "tags with imagestreamtags",
        "tags with imagetags",
        "signs images",
        "creates, changes, lists and deletes images",
    ];
    assert_eq!(openshift("openshift-images", "images", &[]).await, steps);
}

#[tokio::test]
async fn openshift_informers_follow_streams_and_images() {
    let steps = [
        "informers know what there was",
        "informers see streams change",
        "informers see images change",
    ];
    for (namespace, streamed) in [("openshift-listed", "false"), ("openshift-streamed", "true")] {
        let variables = [("KUBE_FEATURE_WatchListClient", streamed)];
        assert_eq!(openshift(namespace, "informers", &variables).await, steps, "{namespace}");
    }
}

/// Runs Helm as admin in a namespace, with a temporary folder for its files.
fn helm(site: &Shared, namespace: &str, arguments: &[&str]) -> String {
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    let kubeconfig = site.plane.kubeconfig(&admin).expect("the kubeconfig can be written");
    let home = tempfile::tempdir().expect("a temporary folder can be created");
    let program = peers().expect("the third-party clients are built").join("helm");
    let folders = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME"];
    let mut command = Command::new(program);
    command.env("KUBECONFIG", kubeconfig).envs(folders.map(|name| (name, home.path())));
    run(command.args(["--namespace", namespace]).args(arguments))
}

#[tokio::test]
async fn helm_manages_a_chart_with_a_stream() {
    let site = shared().await;
    let namespace = "helm";
    site.plane.apply(&[objects::namespace(namespace)]);
    let (chart, stream) = (beside("peers/chart"), path(namespace, "imagestreams/shop"));
    let tags = async || -> Vec<String> {
        let stream = site.plane.get(&stream).await.expect("the stream exists");
        let tags = stream["spec"]["tags"].as_array().expect("the stream has tags");
        tags.iter().map(|tag| tag["name"].as_str().expect("a tag has a name").to_owned()).collect()
    };
    let told = helm(&site, namespace, &["install", "shop", &chart, "--wait", "--timeout=60s"]);
    assert!(told.contains("STATUS: deployed"), "{told}");
    assert_eq!(tags().await, ["stable"]);
    let installed = site.plane.get(&stream).await.expect("the stream exists");
    assert_eq!(
        installed["metadata"]["annotations"]["meta.helm.sh/release-name"], "shop",
        "{installed}"
    );

    let edge = "tags.edge=registry.example.com/shop/hello:2.0";
    helm(&site, namespace, &["upgrade", "shop", &chart, "--set", edge, "--wait", "--timeout=60s"]);
    assert_eq!(tags().await, ["edge", "stable"]);
    helm(&site, namespace, &["rollback", "shop", "1", "--wait", "--timeout=60s"]);
    assert_eq!(tags().await, ["stable"]);
    let history: Value =
        serde_json::from_str(&helm(&site, namespace, &["history", "shop", "--output=json"]))
            .expect("Helm prints JSON");
    assert_eq!(history.as_array().map(Vec::len), Some(3), "{history}");

    helm(&site, namespace, &["uninstall", "shop", "--wait", "--timeout=60s"]);
    assert_eq!(site.plane.get(&stream).await, None);
}
