//! A control plane: one etcd and one kube-apiserver on loopback, with all files in one temporary
//! folder. No controllers run unless a test starts them, so a deleted namespace stays `Terminating`
//! and a Deployment gets no pods.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time;

use super::child::{Child, end_of, free_port};
use super::kubeconfig;
use super::pki::{self, Authority, Pair};
use super::tools::Tools;
use crate::support::client::{Answer, Client, Identity, Request};

/// The required common name of the front-proxy certificate of kube-apiserver.
pub(crate) const FRONT_PROXY: &str = "front-proxy-client";
/// The deadline for kube-apiserver to become ready.
const START: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_millis(100);

/// The certificate authorities of a cluster.
pub(crate) struct Authorities {
    /// Issues the serving certificate of kube-apiserver.
    serving: Authority,
    /// Issues the certificates of users.
    pub(crate) client: Authority,
    /// Issues the front-proxy certificates.
    pub(crate) front_proxy: Authority,
    /// Issues the certificates of the server under test: the current authority and its successor.
    pub(crate) backend: Authority,
    pub(crate) next_backend: Authority,
}

/// etcd and kube-apiserver.
pub(crate) struct ControlPlane {
    pub(crate) tools: Tools,
    pub(crate) authorities: Authorities,
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
    etcd: String,
    // Fields drop in this order: kube-apiserver before etcd and the folder.
    kube_apiserver: Option<Child>,
    _etcd: Child,
}

impl ControlPlane {
    /// Starts a new control plane and waits for readiness.
    pub(crate) async fn start() -> Result<Self> {
        let tools = Tools::find()?;
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir()?.keep();
        let authorities = Authorities {
            serving: Authority::new("kube-apiserver-ca"),
            client: Authority::new("client-ca"),
            front_proxy: Authority::new("front-proxy-ca"),
            backend: Authority::new("backend-ca"),
            next_backend: Authority::new("next-backend-ca"),
        };
        let (etcd, endpoint) = start_etcd(&tools, &folder)?;
        let port = free_port();
        let arguments = arguments(&folder, port, &endpoint);
        let mut plane = Self {
            tools,
            authorities,
            folder,
            port,
            arguments,
            etcd: endpoint,
            kube_apiserver: None,
            _etcd: etcd,
        };
        plane.write_files().context("writing the certificates of the control plane")?;
        plane.start_kube_apiserver().await?;
        Ok(plane)
    }

    fn write_files(&self) -> Result<()> {
        let Authorities { serving, client, front_proxy, .. } = &self.authorities;
        let own = serving.server(&["localhost", "127.0.0.1", "kubernetes.default.svc"]);
        fs::write(self.path("serving.crt"), own.certificate)?;
        fs::write(self.path("serving.key"), own.key)?;
        fs::write(self.path("client-ca.crt"), client.pem())?;
        let tokens = pki::key();
        fs::write(self.path("service-account.key"), tokens.serialize_pem())?;
        fs::write(self.path("service-account.pub"), tokens.public_key_pem())?;
        self.trust_front_proxies(&[front_proxy])?;
        self.be_front_proxy(&front_proxy.user(FRONT_PROXY, None))
    }

    /// Sets the front-proxy authorities that kube-apiserver publishes. kube-apiserver reloads the
    /// file.
    pub(crate) fn trust_front_proxies(&self, authorities: &[&Authority]) -> Result<()> {
        let bundle: String = authorities.iter().map(|authority| authority.pem()).collect();
        replace(&self.path("front-proxy-ca.crt"), &bundle)
    }

    /// Sets the front-proxy certificate of kube-apiserver. kube-apiserver reloads the files.
    pub(crate) fn be_front_proxy(&self, pair: &Pair) -> Result<()> {
        replace(&self.path("front-proxy.key"), &pair.key)?;
        replace(&self.path("front-proxy.crt"), &pair.certificate)
    }

    /// The number of log lines in which kube-apiserver reports a loaded certificate and key.
    pub(crate) fn pairs_read(&self) -> usize {
        let log = fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Loaded a new cert/key pair")).count()
    }

    /// Starts kube-apiserver with the same port and data as before, unless it is running.
    pub(crate) async fn start_kube_apiserver(&mut self) -> Result<()> {
        if self.kube_apiserver.is_some() {
            return Ok(());
        }
        let log = self.path("kube-apiserver.log");
        let child = Child::start(&self.tools.path("kube-apiserver"), &self.arguments, &log)?;
        self.ready(&child).await.with_context(|| end_of(&log))?;
        self.kube_apiserver = Some(child);
        Ok(())
    }

    /// Kills kube-apiserver with SIGKILL, as in a crash.
    pub(crate) fn stop_kube_apiserver(&mut self) {
        self.kube_apiserver = None;
    }

    async fn ready(&self, child: &Child) -> Result<()> {
        let (begun, client) = (Instant::now(), self.admin());
        let mut interval = time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let answer = client.send_unchecked(Request::new("GET", "/readyz")).await;
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(status) = child.end() {
                bail!("kube-apiserver ended before it was ready, with {status}");
            }
            ensure!(
                begun.elapsed() < START,
                "kube-apiserver is not ready after {START:?}, but answers {answer:?}"
            );
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The log files of both processes.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        vec![self.path("etcd.log"), self.path("kube-apiserver.log")]
    }

    /// A client of kube-apiserver.
    pub(crate) fn client(&self, identity: Identity) -> Client {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Client::new(address, self.authorities.serving.pem().as_bytes(), identity)
    }

    /// A client of kube-apiserver with all rights.
    pub(crate) fn admin(&self) -> Client {
        self.client(self.user("admin", Some("system:masters")).identity())
    }

    /// Issues the client certificate of a user of the cluster.
    pub(crate) fn user(&self, name: &str, group: Option<&str>) -> Pair {
        self.authorities.client.user(name, group)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The URL of etcd.
    pub(crate) fn etcd(&self) -> &str {
        &self.etcd
    }

    /// The certificate authority of kube-apiserver, in PEM.
    pub(crate) fn authority(&self) -> String {
        self.authorities.serving.pem()
    }

    /// Writes a kubeconfig for kube-apiserver.
    pub(crate) fn kubeconfig(&self, identity: &Identity) -> Result<PathBuf> {
        kubeconfig::write(&self.folder, &self.url(), &self.authority(), identity)
    }

    /// Sends a request to kube-apiserver as admin. Panics when the request fails without a
    /// response.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        let line = format!("{} {}", request.method, request.target);
        let answer = self.admin().send_unchecked(request).await;
        answer.unwrap_or_else(|why| panic!("no response of kube-apiserver to {line}: {why}"))
    }

    /// Gets the object at a path of kube-apiserver. Returns `None` unless the status is 200.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.ask(Request::new("GET", path)).await;
        (answer.status == 200).then(|| answer.json().expect("kube-apiserver answers in JSON"))
    }

    /// Creates an object at the path of its collection. Panics unless the status is 201.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.ask(Request::new("POST", path).json(object)).await;
        assert!(answer.status == 201, "POST {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json().expect("kube-apiserver answers in JSON")
    }

    /// Sends a JSON merge patch for an object. Panics unless the status is 200.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Value {
        let mut request =
            Request::new("PATCH", path).header("content-type", "application/merge-patch+json");
        request.body = Some(patch.to_string().into_bytes());
        let answer = self.ask(request).await;
        assert!(answer.status == 200, "PATCH {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json().expect("kube-apiserver answers in JSON")
    }

    /// Deletes an object if it exists.
    pub(crate) async fn delete(&self, path: &str) {
        let answer = self.ask(Request::new("DELETE", path)).await;
        let known = [200, 202, 404].contains(&answer.status);
        assert!(known, "DELETE {path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

fn start_etcd(tools: &Tools, folder: &Path) -> Result<(Child, String)> {
    let [client, peer] = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
    let arguments = vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
        // Data of a test need not survive a crash of the machine.
        "--unsafe-no-fsync".to_owned(),
    ];
    let log = folder.join("etcd.log");
    let child = Child::start_and_remove(&tools.path("etcd"), &arguments, &log, Some(folder))?;
    Ok((child, client))
}

fn arguments(folder: &Path, port: u16, etcd: &str) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let mut all = vec![
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        file("tls-cert-file", "serving.crt"),
        file("tls-private-key-file", "serving.key"),
        file("client-ca-file", "client-ca.crt"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        format!("--requestheader-allowed-names={FRONT_PROXY}"),
        file("proxy-client-cert-file", "front-proxy.crt"),
        file("proxy-client-key-file", "front-proxy.key"),
        file("service-account-key-file", "service-account.pub"),
        file("service-account-signing-key-file", "service-account.key"),
    ];
    all.extend(
        [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            // The Service `kubernetes` must not point to loopback, and no test uses it.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc",
            // Logs when a new certificate is in use; tests read this.
            "--vmodule=dynamic_serving_content=2",
        ]
        .map(str::to_owned),
    );
    all
}

/// Replaces a file atomically because another process may be reading it.
pub(crate) fn replace(path: &Path, content: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing {}", path.display()))
}
