//! A control plane: one etcd and one kube-apiserver on loopback, with everything in one folder that is removed in the
//! end. Nothing else of Kubernetes runs unless a test starts it, so a namespace that is deleted stays `Terminating` and a Deployment
//! is only an object.

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

/// What the certificate of kube-apiserver's proxy must be called.
pub(crate) const FRONT_PROXY: &str = "front-proxy-client";
/// The longest time until kube-apiserver is ready.
const START: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_millis(100);

/// The authorities of a cluster.
pub(crate) struct Authorities {
    /// Of kube-apiserver as a server.
    serving: Authority,
    /// Of users.
    pub(crate) client: Authority,
    /// Of kube-apiserver's proxy.
    pub(crate) front_proxy: Authority,
    /// Of the server under test, and the one that comes after it.
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
    // Dropped in this order: kube-apiserver first, and the folder with etcd.
    kube_apiserver: Option<Child>,
    _etcd: Child,
}

impl ControlPlane {
    /// Starts a new control plane and waits until it is ready.
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
        let mut plane =
            Self { tools, authorities, folder, port, arguments, kube_apiserver: None, _etcd: etcd };
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

    /// Sets the authorities that kube-apiserver publishes for its proxy. It re-reads the file.
    pub(crate) fn trust_front_proxies(&self, authorities: &[&Authority]) -> Result<()> {
        let bundle: String = authorities.iter().map(|authority| authority.pem()).collect();
        replace(&self.path("front-proxy-ca.crt"), &bundle)
    }

    /// Sets the certificate that kube-apiserver's proxy shows. It re-reads the files.
    pub(crate) fn be_front_proxy(&self, pair: &Pair) -> Result<()> {
        replace(&self.path("front-proxy.key"), &pair.key)?;
        replace(&self.path("front-proxy.crt"), &pair.certificate)
    }

    /// How often kube-apiserver said so far that it read a certificate and its key.
    pub(crate) fn pairs_read(&self) -> usize {
        let log = fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Loaded a new cert/key pair")).count()
    }

    /// Starts kube-apiserver, on the same port and the same data as before, unless it runs.
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

    /// Ends kube-apiserver as a power failure would.
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

    /// The logs of both processes.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        vec![self.path("etcd.log"), self.path("kube-apiserver.log")]
    }

    /// A client of kube-apiserver.
    pub(crate) fn client(&self, identity: Identity) -> Client {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Client::new(address, self.authorities.serving.pem().as_bytes(), identity)
    }

    /// Whoever may do everything.
    pub(crate) fn admin(&self) -> Client {
        self.client(self.user("admin", Some("system:masters")).identity())
    }

    /// The certificate of a user of the cluster.
    pub(crate) fn user(&self, name: &str, group: Option<&str>) -> Pair {
        self.authorities.client.user(name, group)
    }

    /// The URL of kube-apiserver.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The authority of kube-apiserver's certificate.
    pub(crate) fn authority(&self) -> String {
        self.authorities.serving.pem()
    }

    /// A file that tells a program of the cluster where kube-apiserver is and how to be somebody there.
    pub(crate) fn kubeconfig(&self, identity: &Identity) -> Result<PathBuf> {
        kubeconfig::write(&self.folder, &self.url(), &self.authority(), identity)
    }

    /// Asks kube-apiserver as admin. Panics when there is no answer.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        let line = format!("{} {}", request.method, request.target);
        let answer = self.admin().send_unchecked(request).await;
        answer.unwrap_or_else(|why| panic!("kube-apiserver does not answer {line}: {why}"))
    }

    /// What there is at a path of kube-apiserver, if there is something.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.ask(Request::new("GET", path)).await;
        (answer.status == 200).then(|| answer.json().expect("kube-apiserver answers in JSON"))
    }

    /// Creates an object at the path of its collection. Panics when that is refused.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.ask(Request::new("POST", path).json(object)).await;
        assert!(answer.status == 201, "POST {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json().expect("kube-apiserver answers in JSON")
    }

    /// Merges something into an object. Panics when that is refused.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Value {
        let mut request =
            Request::new("PATCH", path).header("content-type", "application/merge-patch+json");
        request.body = Some(patch.to_string().into_bytes());
        let answer = self.ask(request).await;
        assert!(answer.status == 200, "PATCH {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json().expect("kube-apiserver answers in JSON")
    }

    /// Deletes an object that may not be there.
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
        // What a test stores need not survive the machine.
        "--unsafe-no-fsync".to_owned(),
    ];
    let log = folder.join("etcd.log");
    let child = Child::start_and_remove(&tools.path("etcd"), &arguments, &log, Some(folder))?;
    Ok((child, client))
}

/// The flags of kube-apiserver.
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
            // Nobody may reach it by the Service `kubernetes`, which must not point to loopback.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc",
            // Lets a test see when a new certificate is in use.
            "--vmodule=dynamic_serving_content=2",
        ]
        .map(str::to_owned),
    );
    all
}

/// Puts a file in place in one step, because somebody may be reading it.
pub(crate) fn replace(path: &Path, content: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing {}", path.display()))
}
