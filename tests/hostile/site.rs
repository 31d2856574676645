//! Server with three users: `adm` prepares, `mal` attacks, `vic` must not be affected.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time;

use crate::bodies;
use crate::meter::Meter;
use crate::pki::Pki;
use crate::plane::Plane;
use crate::row::{Ground, all_at_once};
use crate::support::client::{Client, Identity, Request};
use crate::support::process::{Launch, ServerProcess};
use crate::support::server::TestServer;

/// Path of the group and version.
pub(crate) const V1: &str = "/apis/image.openshift.io/v1";

const USERS: &str = "\
token-of-adm,adm,uid-of-adm,\"system:masters\"
token-of-mal,mal,uid-of-mal
token-of-vic,vic,uid-of-vic
token-of-m0,m0,uid-of-m0
token-of-m1,m1,uid-of-m1
token-of-m2,m2,uid-of-m2
token-of-m3,m3,uid-of-m3
token-of-m4,m4,uid-of-m4
token-of-m5,m5,uid-of-m5
token-of-m6,m6,uid-of-m6
token-of-m7,m7,uid-of-m7
";
/// Number of the further attackers, `m0` and so on.
const ATTACKERS: usize = 8;
/// Maximum latency of another user's GET after a row.
const PROMPT: Duration = Duration::from_secs(5);

/// Running server.
pub(crate) struct Site {
    pub(crate) server: ServerProcess,
    /// Control plane, if the server has one.
    pub(crate) plane: Option<Plane>,
    pub(crate) pki: Pki,
    _folder: TempDir,
    pub(crate) adm: Client,
    pub(crate) mal: Client,
    pub(crate) vic: Client,
    /// Further attackers, for attacks that one user's share of a limit contains.
    pub(crate) others: Vec<Client>,
}

impl Site {
    /// Starts a server with one image in the stream `w` of the namespace `vic`.
    pub(crate) async fn start(ground: &Ground) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let kubeconfig = folder.path().join("kubeconfig");
        let pki = Pki::new();
        let plane = ground.rule.map(|rule| Plane::start(rule, ground.answer_after, &kubeconfig));
        let mut flags = ground.flags.clone();
        // Half of the memory limit of the manifests, whatever the memory of this machine.
        flags.push("--memory-budget=384Mi".into());
        if plane.is_some() {
            flags.push(format!("--kubeconfig={}", kubeconfig.display()));
            flags.push("--authorization-mode=Webhook".into());
            flags.push("--authorization-webhook-cache-authorized-ttl=0s".into());
            flags.push("--authorization-webhook-cache-unauthorized-ttl=0s".into());
            flags.extend(pki.flags(folder.path()));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = ServerProcess::launch(Launch {
            flags: &flags,
            variables: &[("TOKIO_WORKER_THREADS", &ground.workers.to_string())],
            users: USERS,
        })
        .await;
        let user = |name: &str| server.client(Identity::token(&format!("token-of-{name}")));
        let site = Self {
            adm: user("adm"),
            mal: user("mal"),
            vic: user("vic"),
            others: (0..ATTACKERS).map(|n| user(&format!("m{n}"))).collect(),
            server,
            plane,
            pki,
            _folder: folder,
        };
        site.prepare(vec![
            post("namespaces/vic/imagestreams", &bodies::stream("w")),
            post(
                "namespaces/vic/imagestreammappings",
                &bodies::mapping("w", "t", &bodies::image(&witness())),
            ),
        ])
        .await
        .expect("an empty server accepts a stream and an image");
        site
    }

    /// CPU time of the server in seconds.
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn cpu_seconds(&self) -> io::Result<f64> {
        Meter::new(self.server.id()).cpu()
    }

    /// Sends requests as `adm`, in sequence.
    ///
    /// # Errors
    /// A request fails.
    pub(crate) async fn prepare(&self, requests: Vec<Request>) -> Result<(), String> {
        for request in requests {
            all_at_once(&self.adm, vec![request], &[200, 201]).await?;
        }
        Ok(())
    }

    /// Checks that `vic` still gets his image in time.
    ///
    /// # Errors
    /// Description of the wrong response.
    pub(crate) async fn check_witness(&self) -> Result<(), String> {
        let request = get(&format!("namespaces/vic/imagestreamimages/w@{}", witness()));
        let answer = time::timeout(PROMPT, self.vic.send(request)).await;
        let answer =
            answer.map_err(|_| format!("another user's GET takes longer than {PROMPT:?}"))?;
        let answer = answer.map_err(|why| format!("another user's GET gets no response: {why}"))?;
        let is_his = answer.json().is_ok_and(|body| body["image"]["metadata"]["name"] == witness());
        if answer.status == 200 && is_his {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&answer.body);
        Err(format!("another user's GET gets status {}: {text:.300}", answer.status))
    }
}

fn witness() -> String {
    bodies::digest("feed")
}

/// Request for a path below [`V1`].
pub(crate) fn request(method: &str, path: &str) -> Request {
    Request::new(method, &format!("{V1}/{path}"))
}

pub(crate) fn get(path: &str) -> Request {
    request("GET", path)
}

pub(crate) fn post(path: &str, body: &Value) -> Request {
    request("POST", path).json(body)
}

/// Request with a body of any media type.
pub(crate) fn send(method: &str, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Request {
    let mut request = request(method, path).header("content-type", kind);
    request.body = Some(body.into());
    request
}

pub(crate) fn json_patch(path: &str, body: &str) -> Request {
    send("PATCH", path, "application/json-patch+json", body)
}

pub(crate) fn merge_patch(path: &str, body: &str) -> Request {
    send("PATCH", path, "application/merge-patch+json", body)
}

pub(crate) fn strategic_patch(path: &str, body: &str) -> Request {
    send("PATCH", path, "application/strategic-merge-patch+json", body)
}

/// Forced server-side apply with a field manager.
pub(crate) fn apply(path: &str, manager: &str, body: &Value) -> Request {
    let path = format!("{path}?fieldManager={manager}");
    send("PATCH", &path, "application/apply-patch+yaml", body.to_string())
}
