//! A stand-in for the node of a cluster: the controllers of Deployments and Jobs, the kubelet and
//! kube-proxy, for one namespace. It runs the arguments of pods with the binary under test. An image
//! with the tag [`MISSING`] is never pulled.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::backend::token;
use super::child::{Child, end_of, free_port};
use super::manifests::pod::arguments;
use super::objects::API_SERVICE;
use super::plane::ControlPlane;
use crate::support::client::{Client, Identity, Request};

/// The tag of an image that does not exist.
pub(crate) const MISSING: &str = "missing";

/// The node, whose processes end when this is dropped.
pub(crate) struct Node<'a> {
    plane: &'a ControlPlane,
    namespace: &'static str,
    /// The volume of the Deployment, and logs.
    folder: TempDir,
    server: Option<Server>,
    /// Pods of Jobs, by the UID of the Job.
    jobs: HashMap<String, Child>,
    is_registered: bool,
}

/// The pod of the Deployment.
struct Server {
    /// The generation of the Deployment that it runs.
    generation: i64,
    port: u16,
    /// `None` if the image is missing.
    child: Option<Child>,
    is_ready: bool,
}

impl<'a> Node<'a> {
    pub(crate) fn new(plane: &'a ControlPlane, namespace: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        Self { plane, namespace, folder, server: None, jobs: HashMap::new(), is_registered: false }
    }

    /// Does what is due now. Panics if the API is registered before its server was ready.
    pub(crate) async fn step(&mut self) {
        let deployments = self.list("apis/apps/v1", "deployments").await;
        match deployments.first() {
            Some(deployment) => self.deploy(deployment).await,
            None => self.server = None,
        }
        for job in self.list("apis/batch/v1", "jobs").await {
            self.run(&job).await;
        }
        self.route().await;
    }

    pub(crate) fn log(&self) -> String {
        end_of(&self.path("log"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn list(&self, api: &str, resource: &str) -> Vec<Value> {
        let path = format!("/{api}/namespaces/{}/{resource}", self.namespace);
        let list = self.plane.get(&path).await.expect("objects can be listed");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    async fn deploy(&mut self, deployment: &Value) {
        let generation = deployment["metadata"]["generation"].as_i64().expect("it has one");
        if self.server.as_ref().is_none_or(|server| server.generation != generation) {
            // The strategy Recreate: the old pod ends first.
            self.server = None;
            let pod = &deployment["spec"]["template"]["spec"];
            let port = free_port();
            let child = if is_missing(pod) { None } else { Some(self.serve(pod, port).await) };
            self.server = Some(Server { generation, port, child, is_ready: false });
            self.report(deployment, generation, 0).await;
        }
        let Some(Server { is_ready: false, port, child: Some(child), .. }) = &self.server else {
            return;
        };
        assert!(child.end().is_none(), "the server ended: {}", self.log());
        if self.answers(*port).await {
            self.server.as_mut().expect("it was started").is_ready = true;
            self.report(deployment, generation, 1).await;
        }
    }

    /// Starts the server of a pod, with its ServiceAccount and with its volume in the folder.
    async fn serve(&self, pod: &Value, port: u16) -> Child {
        let kubeconfig = self.kubeconfig(pod).await;
        let volume = format!("{}/data/", self.folder.path().display());
        let own = arguments(pod, self.namespace).into_iter().map(|argument| {
            argument
                .replace("--secure-port=8443", &format!("--secure-port={port}"))
                .replace("/data/", &volume)
        });
        let more = ["--bind-address=127.0.0.1", "--controllers=*,-image-import", &kubeconfig];
        self.start(own.chain(more.map(str::to_owned)).collect())
    }

    fn start(&self, arguments: Vec<String>) -> Child {
        let program = Path::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
        Child::start(program, &arguments, &self.path("log")).expect("the binary can be started")
    }

    /// The flag with a kubeconfig of the ServiceAccount of a pod.
    async fn kubeconfig(&self, pod: &Value) -> String {
        let account = pod["serviceAccountName"].as_str().expect("the pod has an account");
        let token = token(self.plane, self.namespace, account).await;
        let kubeconfig = self.plane.kubeconfig(&Identity::token(&token));
        format!("--kubeconfig={}", kubeconfig.expect("it can be written").display())
    }

    /// The readiness probe.
    async fn answers(&self, port: u16) -> bool {
        let Ok(authority) = fs::read(self.path("data/certificates/ca.crt")) else { return false };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let client = Client::new(address, &authority, Identity::default());
        let answer = client.send_unchecked(Request::new("GET", "/readyz")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    async fn report(&self, deployment: &Value, generation: i64, available: u8) {
        let status = json!({"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1,
            "readyReplicas": available, "availableReplicas": available, "unavailableReplicas": 1 - available});
        self.set_status("apis/apps/v1", "deployments", deployment, &status).await;
    }

    async fn set_status(&self, api: &str, resource: &str, object: &Value, status: &Value) {
        let name = object["metadata"]["name"].as_str().expect("it has a name");
        let path = format!("/{api}/namespaces/{}/{resource}/{name}/status", self.namespace);
        self.plane.patch(&path, &json!({"status": status})).await;
    }

    /// Starts the pod of a Job, or reports its end.
    async fn run(&mut self, job: &Value) {
        let pod = &job["spec"]["template"]["spec"];
        if is_missing(pod) || job["status"]["conditions"].is_array() {
            return;
        }
        let uid = job["metadata"]["uid"].as_str().expect("it has a UID");
        let Some(child) = self.jobs.get(uid) else {
            let mut arguments = arguments(pod, self.namespace);
            if pod["automountServiceAccountToken"] == true {
                arguments.push(self.kubeconfig(pod).await);
            }
            let child = self.start(arguments);
            self.jobs.insert(uid.to_owned(), child);
            return;
        };
        let Some(end) = child.end() else { return };
        let begun = &job["metadata"]["creationTimestamp"];
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": begun, "reason": "Node"});
        let status = if end.success() {
            json!({"startTime": begun, "completionTime": begun, "succeeded": 1,
                "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]})
        } else {
            json!({"startTime": begun, "failed": 1,
                "conditions": [condition("FailureTarget"), condition("Failed")]})
        };
        self.set_status("apis/batch/v1", "jobs", job, &status).await;
    }

    /// Lets the Service of a registered API lead to the server.
    async fn route(&mut self) {
        let registration = self.plane.get(API_SERVICE).await.unwrap_or_default();
        let service = &registration["spec"]["service"];
        let Some(name) = service["name"].as_str() else {
            self.is_registered = false;
            return;
        };
        let server = self.server.as_ref().expect("the API is registered while a server runs");
        assert!(
            self.is_registered || server.is_ready,
            "the API is registered before its server is ready"
        );
        self.is_registered = true;
        let path = format!("/api/v1/namespaces/{}/services/{name}", self.namespace);
        let current = self.plane.get(&path).await.expect("the Service exists");
        if current["spec"]["type"] != "ExternalName" {
            let spec = json!({"type": "ExternalName", "externalName": "localhost",
                "clusterIP": null, "clusterIPs": null});
            self.plane.patch(&path, &json!({"spec": spec})).await;
        }
        if service["port"] != server.port {
            let spec = json!({"service": {"port": server.port}});
            self.plane.patch(API_SERVICE, &json!({"spec": spec})).await;
        }
    }
}

fn is_missing(pod: &Value) -> bool {
    let image = pod["containers"][0]["image"].as_str().expect("the container has an image");
    image.ends_with(&format!(":{MISSING}"))
}
