//! kube-controller-manager of the same release. Its namespace and garbage collector controllers
//! find the resources of the server by discovery: one deletes the objects of a terminating
//! namespace, the other the dependents of a deleted owner.

use serde_json::{Value, json};

use super::backend::{Backend, Certificate, Prepared, path};
use super::child::{Child, LogsOfFailure};
use super::objects::{self, V1};
use super::plane::ControlPlane;
use super::site::{front_proxy, on_behalf, own};
use super::wait::until;
use crate::support::client::Request;
use crate::support::expect::Expect;

/// kube-controller-manager, running until this is dropped.
pub(crate) struct Controllers {
    _child: Child,
    _logs: LogsOfFailure,
}

impl Controllers {
    fn start(plane: &ControlPlane) -> Self {
        Self::start_these(plane, "namespace-controller,garbage-collector-controller")
    }

    /// Starts kube-controller-manager with these of its controllers.
    pub(crate) fn start_these(plane: &ControlPlane, controllers: &str) -> Self {
        let program = plane.tools.need("kube-controller-manager").expect("the program exists");
        let admin = plane.user("admin", Some("system:masters")).identity();
        let kubeconfig = plane.kubeconfig(&admin).expect("a kubeconfig can be written");
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={controllers}"),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let log = plane.path("kube-controller-manager.log");
        let child = Child::start(&program, &arguments, &log)
            .expect("kube-controller-manager can be started");
        Self { _child: child, _logs: LogsOfFailure(vec![log]) }
    }
}

/// A server that is registered in a control plane.
pub(crate) async fn registered(plane: &ControlPlane) -> Backend {
    let backend = Prepared::new(plane, Certificate::Issued).await.start().await;
    plane.register(&backend).await;
    backend
}

async fn is_gone(plane: &ControlPlane, path: &str) {
    until(&format!("{path} is gone"), || async {
        plane.get(path).await.map_or(Ok(()), |object| Err(object["metadata"].to_string()))
    })
    .await;
}

/// Adds an owner reference to an object.
fn owned(mut object: Value, owner: &Value) -> Value {
    let text = |pointer: &str| owner.pointer(pointer).cloned().expect("the owner was created");
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": text("/apiVersion"), "kind": text("/kind"), "name": text("/metadata/name"),
        "uid": text("/metadata/uid"), "blockOwnerDeletion": true,
    }]);
    object
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

fn streams(namespace: &str) -> String {
    path(namespace, "imagestreams")
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_streams() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("deleted-{}", backend.port());
    let _controllers = Controllers::start(&plane);
    plane.create_namespace(&namespace).await;
    for name in ["a", "b"] {
        plane.create(&streams(&namespace), &objects::stream(name)).await;
    }
    plane
        .create(
            &path(&namespace, "imagestreammappings"),
            &objects::mapping("a", super::site::DIGEST),
        )
        .await;
    plane.delete(&format!("/api/v1/namespaces/{namespace}")).await;
    is_gone(&plane, &format!("/api/v1/namespaces/{namespace}")).await;
    let left = plane.get(&streams(&namespace)).await.expect("the response is a list");
    assert_eq!(left["items"], json!([]));
    // Images are cluster-scoped.
    let image = plane.get(&format!("{V1}/images/{}", super::site::DIGEST)).await;
    assert!(image.is_some(), "the image still exists");
    plane.delete(&format!("{V1}/images/{}", super::site::DIGEST)).await;
}

#[tokio::test]
async fn gc_follows_owners_across_both_servers() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("owners-{}", backend.port());
    let _controllers = Controllers::start(&plane);
    plane.create_namespace(&namespace).await;
    let (maps, streams) = (config_maps(&namespace), streams(&namespace));
    let first = plane.create(&maps, &config_map("first")).await;
    let second = plane.create(&streams, &owned(objects::stream("second"), &first)).await;
    let third = plane.create(&streams, &owned(objects::stream("third"), &second)).await;
    plane.create(&maps, &owned(config_map("fourth"), &third)).await;
    plane.create(&streams, &objects::stream("bystander")).await;
    plane.delete(&format!("{maps}/first")).await;
    for path in [format!("{streams}/second"), format!("{streams}/third"), format!("{maps}/fourth")]
    {
        is_gone(&plane, &path).await;
    }
    assert!(plane.get(&format!("{streams}/bystander")).await.is_some(), "the object has no owner");
}

#[tokio::test]
async fn foreground_deletion_waits_for_dependents() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("foreground-{}", backend.port());
    plane.create_namespace(&namespace).await;
    let (maps, streams) = (config_maps(&namespace), streams(&namespace));
    let owner = plane.create(&streams, &objects::stream("owner")).await;
    plane.create(&maps, &owned(config_map("belongs"), &owner)).await;
    let delete = Request::new("DELETE", &format!("{streams}/owner"));
    plane.ask(delete.json(&json!({"propagationPolicy": "Foreground"}))).await.is(200);
    let waiting = plane
        .get(&format!("{streams}/owner"))
        .await
        .expect("the owner waits for the garbage collector");
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let _controllers = Controllers::start(&plane);
    is_gone(&plane, &format!("{streams}/owner")).await;
    assert_eq!(plane.get(&format!("{maps}/belongs")).await, None, "the owner is deleted last");
}

#[tokio::test]
async fn orphan_deletion_keeps_dependents_without_owner() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("orphans-{}", backend.port());
    let _controllers = Controllers::start(&plane);
    plane.create_namespace(&namespace).await;
    let streams = streams(&namespace);
    let owner = plane.create(&streams, &objects::stream("owner")).await;
    plane.create(&streams, &owned(objects::stream("belongs"), &owner)).await;
    let delete = Request::new("DELETE", &format!("{streams}/owner"));
    plane.ask(delete.json(&json!({"propagationPolicy": "Orphan"}))).await.is(200);
    is_gone(&plane, &format!("{streams}/owner")).await;
    let orphan = plane.get(&format!("{streams}/belongs")).await.expect("the object still exists");
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null, "{orphan}");
}

/// Lists and watches of a resource that the server has answered, and its open watches.
async fn reads_of(plane: &ControlPlane, backend: &Backend, resource: &str) -> Vec<String> {
    let metrics = on_behalf("admin", &["system:masters"], "GET", "/metrics");
    let answer = backend.ask(&front_proxy(plane).identity(), metrics).await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let is_read = |line: &&str| {
        let names = ["apiserver_request_total{", "apiserver_longrunning_requests{"];
        names.iter().any(|name| line.starts_with(name))
            && line.contains(&format!("resource=\"{resource}\""))
            && ["LIST", "WATCH"].iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")))
    };
    text.lines().filter(is_read).map(str::to_owned).collect()
}

/// A tag has the uid of its stream, so an informer on tags would confuse the collector.
#[tokio::test]
async fn gc_and_quota_start_no_informer_on_tags() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("informers-{}", backend.port());
    plane.create_namespace(&namespace).await;
    let controllers = "garbage-collector-controller,resourcequota-controller";
    let _controllers = Controllers::start_these(&plane, controllers);
    // Both work on streams: the collector deletes a dependent, and a quota counts.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": {"count/imagestreams.image.openshift.io": "5"}}});
    plane.create(&format!("/api/v1/namespaces/{namespace}/resourcequotas"), &quota).await;
    let owner = plane.create(&streams(&namespace), &objects::stream("owner")).await;
    let pushed = objects::mapping("owner", super::site::DIGEST);
    plane.create(&path(&namespace, "imagestreammappings"), &pushed).await;
    plane.create(&streams(&namespace), &owned(objects::stream("belongs"), &owner)).await;
    let quota = format!("/api/v1/namespaces/{namespace}/resourcequotas/q");
    let used = "/status/used/count~1imagestreams.image.openshift.io";
    until("the quota counts the streams", || async {
        let quota = plane.get(&quota).await.unwrap_or_default();
        if quota.pointer(used) == Some(&json!("2")) { Ok(()) } else { Err(quota.to_string()) }
    })
    .await;
    plane.delete(&format!("{}/owner", streams(&namespace))).await;
    is_gone(&plane, &format!("{}/belongs", streams(&namespace))).await;

    let open = "apiserver_longrunning_requests{";
    let of_streams = reads_of(&plane, &backend, "imagestreams").await;
    assert!(of_streams.iter().any(|line| line.starts_with(open)), "{of_streams:?}");
    for resource in ["imagestreamtags", "imagetags"] {
        assert_eq!(reads_of(&plane, &backend, resource).await, Vec::<String>::new());
    }
    plane.delete(&format!("{V1}/images/{}", super::site::DIGEST)).await;
}
