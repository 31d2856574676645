//! kube-controller-manager of the same release: it deletes what is in a namespace that goes away. Nobody asks it to;
//! it finds our resources by discovery.

use serde_json::json;

use super::backend::{Backend, Certificate, Prepared, path};
use super::child::{Child, LogsOfFailure};
use super::objects::{self, V1};
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;

/// The controllers at work, for as long as this lives.
struct Controllers {
    _child: Child,
    _logs: LogsOfFailure,
}

impl Controllers {
    fn start(plane: &ControlPlane) -> Self {
        let program = plane.tools.need("kube-controller-manager").expect("the program is there");
        let admin = plane.user("admin", Some("system:masters")).identity();
        let kubeconfig = plane.kubeconfig(&admin).expect("a kubeconfig can be written");
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            "--controllers=namespace-controller".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let log = plane.path("kube-controller-manager.log");
        let child = Child::start(&program, &arguments, &log).expect("kube-controller-manager can be started");
        Self { _child: child, _logs: LogsOfFailure(vec![log]) }
    }
}

async fn registered(plane: &ControlPlane) -> Backend {
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

fn streams(namespace: &str) -> String {
    path(namespace, "imagestreams")
}

#[tokio::test]
async fn a_namespace_that_is_deleted_goes_away_and_its_streams_with_it() {
    let plane = own().await;
    let backend = registered(&plane).await;
    let namespace = format!("deleted-{}", backend.port());
    let _controllers = Controllers::start(&plane);
    plane.create_namespace(&namespace).await;
    for name in ["a", "b"] {
        plane.create(&streams(&namespace), &objects::stream(name)).await;
    }
    plane.create(&path(&namespace, "imagestreammappings"), &objects::mapping("a", super::site::DIGEST)).await;
    plane.delete(&format!("/api/v1/namespaces/{namespace}")).await;
    is_gone(&plane, &format!("/api/v1/namespaces/{namespace}")).await;
    let left = plane.get(&streams(&namespace)).await.expect("a list is answered");
    assert_eq!(left["items"], json!([]));
    // Images belong to no namespace.
    let image = plane.get(&format!("{V1}/images/{}", super::site::DIGEST)).await;
    assert!(image.is_some(), "the image is left");
    plane.delete(&format!("{V1}/images/{}", super::site::DIGEST)).await;
}
