//! The real binary next to a control plane, with the RBAC rights of its service account.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::child::{Child, LogsOfFailure, end_of, free_port};
use super::objects::{self, API_SERVICE, SERVER, SERVICE, V1};
use super::pki::{Authority, Pair};
use super::plane::{Authorities, ControlPlane, replace};
use super::wait::until;
use crate::support::client::{Answer, Client, Identity, Request};
use crate::support::server::storage_flags;

/// Flag of most servers: their streams refer to registries that do not exist.
const NO_IMPORTS: &str = "--controllers=*,-image-import";

/// Source of the serving certificate.
pub(crate) enum Certificate {
    /// Issued by a certificate authority of the test.
    Issued,
    /// Self-issued: the server creates its own certificate authority.
    OwnCa,
}

/// A server with its own port and folder. Dropping it kills the process.
pub(crate) struct Backend {
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    environment: Vec<String>,
    /// Certificate authorities that clients of this server trust; none before the server has
    /// created its own.
    trusted: Option<String>,
    child: Option<Child>,
    _logs: Option<LogsOfFailure>,
    _removed_on_drop: Option<TempDir>,
}

/// Flags and folder of a server that is not started yet.
pub(crate) struct Prepared(Backend);

impl Prepared {
    /// A server whose service account has the RBAC rights of the manifests.
    pub(crate) async fn new(plane: &ControlPlane, certificate: Certificate) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder can be created");
        let folder = temporary.path().to_owned();
        let token = token(plane, SERVER, SERVER).await;
        let kubeconfig =
            plane.kubeconfig(&Identity::token(&token)).expect("a kubeconfig can be written");
        let port = free_port();
        let path = |name: &str| folder.join(name).display().to_string();
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", path("certs")),
            format!("--service-name={SERVICE}"),
            format!("--service-namespace={SERVER}"),
            "--internal-registry-hostname=image-registry.openshift-image-registry.svc:5000"
                .to_owned(),
            "--shutdown-delay-duration=0s".to_owned(),
            "--logging-format=json".to_owned(),
            NO_IMPORTS.to_owned(),
        ];
        arguments.extend(storage_flags(&folder));
        let mut backend = Backend {
            trusted: None,
            child: None,
            _logs: Some(LogsOfFailure(vec![folder.join("log")])),
            _removed_on_drop: Some(temporary),
            folder,
            port,
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        if matches!(certificate, Certificate::Issued) {
            arguments.push(format!("--tls-cert-file={}", backend.path("serving.crt").display()));
            arguments
                .push(format!("--tls-private-key-file={}", backend.path("serving.key").display()));
            let Authorities { backend: present, next_backend: next, .. } = &plane.authorities;
            backend.trusted = Some(present.pem() + &next.pem());
            backend.show(&certificate_by(present));
        }
        backend.arguments = arguments;
        Self(backend)
    }

    /// The port that the server will listen on.
    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.0.arguments.push(flag.to_owned());
        self
    }

    /// Replaces the flags of the store.
    pub(crate) fn storage(mut self, flags: Vec<String>) -> Self {
        let default = storage_flags(&self.0.folder);
        self.0.arguments.retain(|argument| !default.contains(argument));
        self.0.arguments.extend(flags);
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn variable(mut self, variable: &str) -> Self {
        self.0.environment.push(variable.to_owned());
        self
    }

    /// Lets the server import the images of tags, from registries on loopback too.
    pub(crate) fn importing(mut self) -> Self {
        self.0.arguments.retain(|argument| argument != NO_IMPORTS);
        self.flag("--import-allow-cidrs=127.0.0.0/8")
    }

    /// Starts the process without waiting for readiness.
    pub(crate) fn spawn(mut self) -> Backend {
        self.0.spawn();
        self.0
    }

    /// Starts the server and waits for readiness.
    pub(crate) async fn start(self) -> Backend {
        let backend = self.spawn();
        backend.ready().await;
        backend
    }

    /// Starts a server that runs until the test process ends. Its folder is kept as long.
    pub(crate) async fn start_for_all_tests(mut self) -> Backend {
        let folder = self.0._removed_on_drop.take().map(TempDir::keep);
        self.0._logs = None;
        let log = self.0.log_path();
        let program = Path::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
        let child = Child::start_and_remove(program, &self.0.arguments, &log, folder.as_deref());
        self.0.child = Some(child.expect("the server can be started"));
        self.0.ready().await;
        self.0
    }
}

impl Backend {
    fn spawn(&mut self) {
        let program = env!("CARGO_BIN_EXE_imagestream-apiserver").to_owned();
        let all = [&self.environment[..], &[program], &self.arguments].concat();
        let child = Child::start(Path::new("env"), &all, &self.log_path());
        self.child = Some(child.expect("the server can be started"));
    }

    /// Kills the process with SIGKILL, as in a crash.
    pub(crate) fn kill(&mut self) {
        self.child = None;
    }

    /// Restarts the server with the same port and data and waits for readiness.
    pub(crate) async fn start_again(&mut self) {
        self.kill();
        self.spawn();
        self.ready().await;
    }

    /// Adds a flag for the next start.
    pub(crate) fn set(&mut self, flag: &str) {
        self.arguments.push(flag.to_owned());
    }

    /// Sends SIGTERM and waits for the process to end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.child.as_mut().expect("the server runs").terminate().expect("a signal can be sent");
        let child = self.child.take().expect("the server runs");
        until("the server ends", || async { child.end().ok_or_else(|| "it runs".to_owned()) }).await
    }

    /// Reports whether the process has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.child.as_ref().is_none_or(|child| child.end().is_some())
    }

    /// Runs `check` with the flags of the server, with `flags` replacing those of the same name.
    /// Returns whether it succeeds, and its output.
    pub(crate) fn check(&self, flags: &[&str]) -> (bool, String) {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let kept = self.arguments[1..]
            .iter()
            .filter(|own| flags.iter().all(|flag| name(flag) != name(own)));
        let program = env!("CARGO_BIN_EXE_imagestream-apiserver");
        let run = Command::new(program)
            .arg("check")
            .args(kept)
            .args(flags)
            .output()
            .expect("check can be run");
        (
            run.status.success(),
            String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned(),
        )
    }

    /// Waits until `/readyz` succeeds.
    pub(crate) async fn ready(&self) {
        until("the server is ready", || async {
            assert!(
                !self.has_ended(),
                "the server ended before it was ready: {}",
                end_of(&self.log_path())
            );
            let answer = self
                .try_client(&Identity::default())?
                .send_unchecked(Request::new("GET", "/readyz"))
                .await;
            match answer {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(String::from_utf8_lossy(&answer.body).into_owned()),
                Err(why) => Err(why.to_string()),
            }
        })
        .await;
    }

    /// Replaces the serving certificate and its key. The server reloads them once a minute.
    pub(crate) fn show(&self, pair: &Pair) {
        replace(&self.path("serving.key"), &pair.key).expect("the key can be written");
        replace(&self.path("serving.crt"), &pair.certificate)
            .expect("the certificate can be written");
    }

    /// A client that connects directly to the server.
    pub(crate) fn client(&self, identity: &Identity) -> Client {
        self.try_client(identity).expect("the authority of the server is known")
    }

    fn try_client(&self, identity: &Identity) -> Result<Client, String> {
        Ok(self.client_trusting(&self.authority()?, identity))
    }

    /// A client that trusts other certificate authorities than those of this server.
    pub(crate) fn client_trusting(&self, authorities: &str, identity: &Identity) -> Client {
        Client::new(self.address(), authorities.as_bytes(), identity.clone())
    }

    /// Sets the certificate authorities that new clients trust.
    pub(crate) fn trust(&mut self, authorities: &str) {
        self.trusted = Some(authorities.to_owned());
    }

    /// The certificate authority of the serving certificate, in PEM.
    pub(crate) fn authority(&self) -> Result<String, String> {
        match &self.trusted {
            Some(trusted) => Ok(trusted.clone()),
            None => fs::read_to_string(self.path("certs/ca.crt"))
                .map_err(|why| format!("certs/ca.crt: {why}")),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    /// The log of the server up to now.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Sends a request directly to the server. Panics when the request fails without a response.
    pub(crate) async fn ask(&self, identity: &Identity, request: Request) -> Answer {
        let line = format!("{} {}", request.method, request.target);
        let answer = self.client(identity).send(request).await;
        answer.unwrap_or_else(|why| panic!("no response of the server to {line}: {why}"))
    }
}

/// A serving certificate for the host name that kube-apiserver connects to and for the loopback
/// address of the tests.
pub(crate) fn certificate_by(authority: &Authority) -> Pair {
    authority.server(&[&format!("{SERVICE}.{SERVER}.svc"), "127.0.0.1"])
}

/// Requests a token of a service account.
pub(crate) async fn token(plane: &ControlPlane, namespace: &str, name: &str) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = plane.create(&path, &request).await;
    answer["status"]["token"].as_str().expect("the response has a token").to_owned()
}

impl ControlPlane {
    /// Registers a server through the APIService of the group and waits until it is available.
    pub(crate) async fn register(&self, backend: &Backend) {
        let authority = backend.authority().expect("the authority of the server is known");
        self.apply(&[objects::service(), objects::api_service(backend.port(), Some(&authority))]);
        self.available().await;
    }

    /// Waits until kube-apiserver proxies requests of the group to the registered server.
    pub(crate) async fn available(&self) {
        until("the APIService is available", || async {
            let api_service = self.get(API_SERVICE).await.ok_or("the APIService is missing")?;
            let condition = &api_service["status"]["conditions"][0];
            if condition["type"] == "Available" && condition["status"] == "True" {
                return Ok(());
            }
            Err(condition.to_string())
        })
        .await;
    }

    pub(crate) async fn create_namespace(&self, name: &str) -> Value {
        self.create("/api/v1/namespaces", &objects::namespace(name)).await
    }
}

pub(crate) fn path(namespace: &str, rest: &str) -> String {
    format!("{V1}/namespaces/{namespace}/{rest}")
}
