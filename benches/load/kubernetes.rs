//! The real server behind a real kube-apiserver, which has a ConfigMap of the size of a response.

use std::process::Command;
use std::{fs, io};

use anyhow::{Context, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::bench::Bench;
use crate::caller::{Caller, DEVELOPER};
use crate::client_pool::ClientPool;
use crate::corpus::{EVENTS_PER_TAG, NAMESPACE};
use crate::figures::Figures;
use crate::grants;
use crate::listen::Pair;
use crate::objects::{self, API_SERVICE, SERVER, SERVICE};
use crate::plane::ControlPlane;
use crate::process::Process;
use crate::questions::{Questions, Scenario};
use crate::turn;
use crate::usage;
use crate::wait::until;
use crate::wire::{self, Connection, Connector};

const CONFIG_MAP: &str = "same-size";

/// A control plane with the server as its aggregated API server.
pub(crate) struct Kubernetes {
    /// The server, with the processes of the control plane as its companions, and the address of
    /// kube-apiserver.
    process: Process,
    pool: ClientPool,
    questions: Questions,
    /// Request for the ConfigMap, and the length of the response.
    config_map: (Vec<u8>, usize),
    _plane: ControlPlane,
    _data: TempDir,
}

impl Kubernetes {
    /// Starts a control plane, and the server on a copy of the filled store.
    ///
    /// # Errors
    /// A process does not start, or a response is wrong.
    pub(crate) fn start(bench: &Bench) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let plane = runtime.block_on(ControlPlane::start())?;
        plane.apply(&[objects::namespace(SERVER), objects::namespace(NAMESPACE)]);
        let data = bench.seed.copy(&bench.site)?;
        let mut process = serve(&plane, &data)?;
        let authority = fs::read_to_string(data.path().join("certs/ca.crt"))?;
        let port = process.address.port();
        plane.apply(&[objects::service(), objects::api_service(port, Some(&authority))]);
        runtime.block_on(available(&plane));
        let resources = ["imagestreamimages"];
        runtime.block_on(plane.grant(NAMESPACE, &grants::user(DEVELOPER), &["get"], &resources));

        process.companions = processes(&plane)?;
        process.address.set_port(port_of(&plane)?);
        let pool = ClientPool { connector: connector(&plane, &data)?, ..bench.pool.clone() };
        let mut questions = Questions::new(Scenario::KubeApiserver, &bench.digests);
        questions.learn_answers(&pool, process.address)?;
        let config_map = create_config_map(&plane, &pool, &process, questions.length(0))?;
        Ok(Self { process, pool, questions, config_map, _plane: plane, _data: data })
    }

    /// A turn of GETs of images.
    ///
    /// # Errors
    /// A response is wrong.
    pub(crate) fn get_images(&self, bench: &Bench) -> anyhow::Result<Figures> {
        turn::ask(&self.pool, &self.process, &self.questions, bench.times())
    }

    /// A turn of GETs of the ConfigMap.
    ///
    /// # Errors
    /// A response is wrong.
    pub(crate) fn get_config_map(&self, bench: &Bench) -> anyhow::Result<Figures> {
        let (request, length) = &self.config_map;
        let times = bench.times();
        turn::drive(&self.pool, &self.process, times, async |connection, _, watch| {
            while watch.runs() {
                let read = read(connection, request).await?;
                ensure!(read == (200, *length), "the ConfigMap got status {}", read.0);
                watch.lap();
            }
            Ok(())
        })
    }
}

/// Starts the server with the rights of an administrator.
fn serve(plane: &ControlPlane, data: &TempDir) -> anyhow::Result<Process> {
    let admin = plane.user("admin", Some("system:masters")).identity();
    let kubeconfig = plane.kubeconfig(&admin)?;
    let data = data.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    command.arg("serve").args([
        "--bind-address=127.0.0.1".to_owned(),
        "--secure-port=0".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--data-dir={}", data.display()),
        format!("--cert-dir={}", data.join("certs").display()),
        format!("--service-name={SERVICE}"),
        format!("--service-namespace={SERVER}"),
        "--authorization-webhook-cache-authorized-ttl=24h".to_owned(),
        format!("--max-tag-history={EVENTS_PER_TAG}"),
        "--controllers=*,-image-import".to_owned(),
        "--logging-format=json".to_owned(),
    ]);
    Process::start(&mut command).context("the server does not start behind kube-apiserver")
}

async fn available(plane: &ControlPlane) {
    until("the APIService is available", || async {
        let api_service = plane.get(API_SERVICE).await.ok_or("the APIService is missing")?;
        let conditions = api_service["status"]["conditions"].as_array();
        let is_available = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Available" && condition["status"] == "True");
        if is_available { Ok(()) } else { Err(api_service["status"].to_string()) }
    })
    .await;
}

/// Connector to kube-apiserver as the user.
fn connector(plane: &ControlPlane, folder: &TempDir) -> anyhow::Result<Connector> {
    let user = plane.user(DEVELOPER, None);
    let authority = folder.path().join("kube-apiserver-ca.crt");
    fs::write(&authority, plane.authority())?;
    let certificates = CertificateDer::pem_slice_iter(user.certificate.as_bytes());
    let chain = certificates.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(user.key.as_bytes())?;
    Connector::new(&authority, Some(Pair { chain, key }))
}

/// Creates a ConfigMap that the user may read, in JSON as long as a response. Returns the request
/// for it and the exact length.
fn create_config_map(
    plane: &ControlPlane,
    pool: &ClientPool,
    process: &Process,
    length: usize,
) -> anyhow::Result<(Vec<u8>, usize)> {
    /// Bytes of the JSON besides the data.
    const REST: usize = 500;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    let subjects = [grants::user(DEVELOPER)];
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": NAMESPACE, "name": CONFIG_MAP},
            "data": {"text": "x".repeat(length - REST)}}),
        objects::role("Role", NAMESPACE, CONFIG_MAP, rules),
        objects::binding("RoleBinding", NAMESPACE, CONFIG_MAP, ("Role", CONFIG_MAP), &subjects),
    ]);
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}");
    let request = wire::get(&path, Caller::Certificate);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let length = runtime.block_on(until("the user may read the ConfigMap", || async {
        let connection = pool.connector.open(process.address).await;
        let mut connection = connection.map_err(|why| why.to_string())?;
        match read(&mut connection, &request).await.map_err(|why| why.to_string())? {
            (200, length) => Ok(length),
            (status, _) => Err(format!("status {status}")),
        }
    }));
    Ok((request, length))
}

/// Sends a request, and returns status and length of the response. kube-apiserver sends objects of
/// its own in chunks.
async fn read(connection: &mut Connection, request: &[u8]) -> io::Result<(u16, usize)> {
    connection.send(request).await?;
    let (status, mut body) = connection.begin().await?;
    let mut length = 0;
    while let Some(part) = connection.part(&mut body).await? {
        length += part.len();
    }
    Ok((status, length))
}

fn port_of(plane: &ControlPlane) -> anyhow::Result<u16> {
    let url = plane.url();
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    port.with_context(|| format!("{url} has no port"))
}

/// The processes of the control plane, which have files in its folder.
fn processes(plane: &ControlPlane) -> anyhow::Result<Vec<u32>> {
    let folder = plane.path("").display().to_string();
    let found = usage::processes_with(&["etcd", "kube-apiserver"], |argument| {
        argument.contains(folder.trim_end_matches('/'))
    })?;
    ensure!(found.len() == 2, "{} of two processes of the control plane run", found.len());
    Ok(found)
}
