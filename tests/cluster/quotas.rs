//! Quotas of a cluster for image streams, with the recount of kube-controller-manager.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::backend::path;
use super::controllers::{Controllers, registered};
use super::objects;
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;
use crate::support::client::{Answer, Request};
use crate::support::expect::Expect;

const COUNT: &str = "count/imagestreams.image.openshift.io";
const ALIAS: &str = "openshift.io/imagestreams";

fn quotas(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/resourcequotas")
}

fn quota(name: &str, hard: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard},
    })
}

fn tag(name: &str) -> Value {
    let from = json!({"kind": "DockerImage", "name": "example.com/a/b:c"});
    json!({
        "kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name},
        "tag": {"name": "", "from": from, "reference": true},
    })
}

/// Waits until the status of an object has these values.
async fn until_status(plane: &ControlPlane, at: &str, field: &str, expected: &Value) {
    until(&format!("{field} of {at} is {expected}"), || async {
        let status = plane.get(at).await.unwrap_or_default()["status"].clone();
        if status[field] == *expected { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// Creates an object on behalf of the administrator.
async fn create(plane: &ControlPlane, at: &str, object: &Value) -> Answer {
    plane.ask(Request::new("POST", at).json(object)).await
}

fn message(answer: &Answer) -> String {
    answer.json().unwrap_or_default()["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn quota_of_two_streams_is_charged_and_recounted() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("quota-{}", backend.port());
    plane.create_namespace(&namespace).await;
    let _controllers = Controllers::start_these(&plane, "resourcequota-controller");
    let hard = json!({COUNT: "2", ALIAS: "2"});
    plane.create(&quotas(&namespace), &quota("two", &hard)).await;
    let (at, streams) = (format!("{}/two", quotas(&namespace)), path(&namespace, "imagestreams"));
    let tags = path(&namespace, "imagestreamtags");
    let used = |count: &str| json!({COUNT: count, ALIAS: count});
    until_status(&plane, &at, "used", &used("0")).await;

    create(&plane, &format!("{streams}?dryRun=All"), &objects::stream("a")).await.is(201);
    create(&plane, &streams, &objects::stream("a")).await.is(201);
    create(&plane, &tags, &tag("b:1")).await.is(201);
    create(&plane, &tags, &tag("b:2")).await.is(201);
    until_status(&plane, &at, "used", &used("2")).await;
    let over = format!(
        "is forbidden: exceeded quota: two, requested: {COUNT}=1,{ALIAS}=1, used: {COUNT}=2,{ALIAS}=2, limited: \
         {COUNT}=2,{ALIAS}=2"
    );
    for (at, object, resource, name) in [
        (&streams, objects::stream("c"), "imagestreams", "c"),
        (&tags, tag("c:1"), "imagestreamtags", "c:1"),
    ] {
        let text = format!("{resource}.image.openshift.io \"{name}\" {over}");
        create(&plane, at, &object).await.fails(403, "Forbidden", &text);
        create(&plane, &format!("{at}?dryRun=All"), &object).await.fails(403, "Forbidden", &text);
    }
    // An existing stream can be changed.
    let patch = json!({"metadata": {"labels": {"x": "y"}}});
    plane.patch(&format!("{streams}/a"), &patch).await;

    plane.delete(&format!("{streams}/a")).await;
    until_status(&plane, &at, "used", &used("1")).await;
    create(&plane, &streams, &objects::stream("c")).await.is(201);

    // One place, and several writes at once.
    let hard = json!({COUNT: "3", ALIAS: "3"});
    plane.patch(&at, &json!({"spec": {"hard": hard}})).await;
    until_status(&plane, &at, "hard", &hard).await;
    until_status(&plane, &at, "used", &used("2")).await;
    let writes = ["d", "e", "f"].map(|name| {
        let (plane, streams) = (&plane, &streams);
        async move { create(plane, streams, &objects::stream(name)).await.status }
    });
    let mut codes = join_all(writes).await;
    codes.sort_unstable();
    assert_eq!(codes, [201, 403, 403]);
    let list = plane.get(&streams).await.unwrap_or_default();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn refusal_reads_as_that_of_kube_apiserver() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("texts-{}", backend.port());
    plane.create_namespace(&namespace).await;
    let _controllers = Controllers::start_these(&plane, "resourcequota-controller");
    let hard = json!({COUNT: "1", "count/configmaps": "1"});
    plane.create(&quotas(&namespace), &quota("one", &hard)).await;
    let at = format!("{}/one", quotas(&namespace));
    until_status(&plane, &at, "used", &json!({COUNT: "0", "count/configmaps": "0"})).await;
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    let map =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let streams = path(&namespace, "imagestreams");
    create(&plane, &maps, &map("a")).await.is(201);
    create(&plane, &streams, &objects::stream("a")).await.is(201);
    let theirs = create(&plane, &maps, &map("b")).await;
    let own = create(&plane, &streams, &objects::stream("b")).await;
    theirs.is(403);
    own.is(403);
    let renamed = message(&theirs).replace("configmaps", "imagestreams.image.openshift.io");
    assert_eq!(message(&own), renamed);
}

/// The CustomResourceDefinition of ClusterResourceQuota, as far as its fields matter here.
fn cluster_quota_definition() -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}},
    });
    let names = json!({"plural": "clusterresourcequotas", "kind": "ClusterResourceQuota"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusterresourcequotas.quota.openshift.io"},
        "spec": {
            "group": "quota.openshift.io", "scope": "Cluster", "names": names, "versions": [version],
        },
    })
}

#[tokio::test]
async fn cluster_quota_limits_namespaces_together() {
    let plane = own().await;
    // The API appears later.
    let _backend = registered(&plane).await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = plane.create(definitions, &cluster_quota_definition()).await;
    let name = definition["metadata"]["name"].as_str().expect("it has a name");
    let at = "/apis/quota.openshift.io/v1/clusterresourcequotas";
    until("the API is served", || async {
        plane.get(at).await.map(drop).ok_or_else(|| "it is not".to_owned())
    })
    .await;
    let namespaces = ["red-a", "red-b", "blue"];
    for namespace in namespaces {
        plane.create_namespace(namespace).await;
    }
    for namespace in &namespaces[..2] {
        let patch =
            json!({"metadata": {"labels": {"team": "red"}, "annotations": {"owner": "eve"}}});
        plane.patch(&format!("/api/v1/namespaces/{namespace}"), &patch).await;
    }
    let selector =
        json!({"labels": {"matchLabels": {"team": "red"}}, "annotations": {"owner": "eve"}});
    let spec = json!({"quota": {"hard": {ALIAS: "2"}}, "selector": selector});
    let quota = json!({
        "apiVersion": "quota.openshift.io/v1", "kind": "ClusterResourceQuota",
        "metadata": {"name": "red"}, "spec": spec,
    });
    plane.create(at, &quota).await;
    // The controller of OpenShift writes the status.
    let total =
        |used: &str| json!({"status": {"total": {"hard": {ALIAS: "2"}, "used": {ALIAS: used}}}});
    plane.patch(&format!("{at}/red/status"), &total("2")).await;
    let streams = |number: usize| path(namespaces[number], "imagestreams");
    until("the quota is in force", || async {
        let probe = format!("{}?dryRun=All", streams(0));
        let code = create(&plane, &probe, &objects::stream("x")).await.status;
        if code == 403 { Ok(()) } else { Err(code.to_string()) }
    })
    .await;
    plane.patch(&format!("{at}/red/status"), &total("0")).await;
    create(&plane, &streams(0), &objects::stream("x")).await.is(201);
    create(&plane, &streams(1), &objects::stream("x")).await.is(201);
    let text = format!(
        "imagestreams.image.openshift.io \"y\" is forbidden: exceeded quota: red, requested: {ALIAS}=1, used: \
         {ALIAS}=2, limited: {ALIAS}=2"
    );
    create(&plane, &streams(1), &objects::stream("y")).await.fails(403, "Forbidden", &text);
    create(&plane, &streams(2), &objects::stream("y")).await.is(201);
    let status = plane.get(&format!("{at}/red")).await.unwrap_or_default()["status"].clone();
    assert_eq!(status["total"]["used"][ALIAS], "2", "{status}");
    let share = |namespace: &str| json!({"namespace": namespace, "status": {"used": {ALIAS: "1"}}});
    let shares = json!([share(namespaces[0]), share(namespaces[1])]);
    assert_eq!(status["namespaces"], shares);
    plane.delete(&format!("{definitions}/{name}")).await;
}
