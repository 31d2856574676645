//! Webhooks that are services of the cluster. kube-apiserver finds the service of the test by its
//! ExternalName. This server asks the DNS of the cluster, for which a proxy stands here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use http::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::backend::{Certificate, Prepared, path};
use super::objects::{self, in_base64};
use super::plane::ControlPlane;
use super::site::own;
use super::wait::until;
use crate::registry::{Answer, Authority, ReceivedRequest, RegistryServer};
use crate::support::client::Request;

const NAMESPACE: &str = "webhook-services";
const HOST: &str = "hook.webhook-services.svc";
const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// An HTTP proxy that connects every host to the same port of the same name on this machine.
struct LocalProxy {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl LocalProxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let targets = Arc::<Mutex<Vec<String>>>::default();
        let seen = targets.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, seen.clone()));
            }
        });
        Self { address, targets }
    }
}

async fn tunnel(stream: TcpStream, targets: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let port = target.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    targets.lock().push(target);
    let mut to = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut to).await.map(drop)
}

/// A webhook that denies everything.
fn deny(request: &ReceivedRequest) -> Answer {
    let review: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let status = json!({"message": format!("{} says no", request.path()), "code": 403});
    let response = json!({"uid": review["request"]["uid"], "allowed": false, "status": status});
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response,
    });
    let response = Response::builder().header("content-type", "application/json");
    Some(response.body(Body::from(review.to_string())).expect("the response is valid"))
}

/// The service, and the configuration that names it.
async fn register(plane: &ControlPlane, port: u16, authority: &Authority) {
    plane.create_namespace(NAMESPACE).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    plane.create(&format!("/api/v1/namespaces/{NAMESPACE}/services"), &service).await;
    let target = json!({"namespace": NAMESPACE, "name": "hook", "path": "/deny", "port": port});
    let rule = json!({
        "operations": ["CREATE"], "apiGroups": ["", "image.openshift.io"], "apiVersions": ["v1"],
        "resources": ["configmaps", "imagestreams"],
    });
    let webhook = json!({
        "name": "service.example.com", "rules": [rule], "sideEffects": "None",
        "clientConfig": {"service": target, "caBundle": in_base64(authority.pem())},
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "services"}, "webhooks": [webhook],
    });
    plane.create(CONFIGURATIONS, &configuration).await;
}

#[tokio::test]
async fn services_are_called_by_name_port_and_path() {
    let plane = own().await;
    let (authority, proxy) = (Authority::new("services"), LocalProxy::start().await);
    // The certificate has the name of the service only.
    let webhook = RegistryServer::start_tls(&authority.server_for(&[HOST], 2099), deny).await;
    let backend = Prepared::new(&plane, Certificate::Issued)
        .await
        .variable(&format!("ALL_PROXY=http://{}", proxy.address))
        .variable("NO_PROXY=127.0.0.1,localhost")
        .start()
        .await;
    plane.register(&backend).await;
    register(&plane, webhook.port(), &authority).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let mut texts = Vec::new();
    for (at, object) in [(maps, map), (path(NAMESPACE, "imagestreams"), objects::stream("a"))] {
        let request = Request::new("POST", &format!("{at}?dryRun=All")).json(&object);
        let denied = until("the webhook denies the write", || async {
            let answer = plane.ask(request.clone()).await;
            let body = answer.json().unwrap_or_default();
            if answer.status == 403 { Ok(body) } else { Err(body.to_string()) }
        });
        texts.push(denied.await["message"].clone());
    }
    plane.delete(&format!("{CONFIGURATIONS}/services")).await;
    let text = "admission webhook \"service.example.com\" denied the request: /deny says no";
    assert_eq!(texts, [text, text]);
    let target = format!("{HOST}:{}", webhook.port());
    let targets = proxy.targets.lock().clone();
    assert!(!targets.is_empty() && targets.iter().all(|each| *each == target), "{targets:?}");
}
