//! Flags and health of a running server.

use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value};

use super::finding::Finding;
use crate::cluster::{self, Fault, error_message};
use crate::server::COMPONENT;

/// The flag that names the kubeconfig.
const FLAG: &str = "--server-kubeconfig";
const SUBJECT: &str = "running server";
/// Maximum size of a response in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A running server.
pub(super) struct RunningServer {
    client: Client,
    address: Arc<str>,
}

impl RunningServer {
    /// A client of the server. It opens no connection.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub(super) async fn of(kubeconfig: &Path) -> Result<Self, Finding> {
        match cluster::client_of(FLAG, kubeconfig, None).await {
            Ok((client, address)) => Ok(Self { client, address }),
            Err(why) => Err(Finding::problem(SUBJECT, why.to_string())),
        }
    }

    /// Reads the flags of the server.
    ///
    /// # Errors
    /// No response, or another than an object of flags.
    pub(super) async fn flags(&self) -> Result<Map<String, Value>, Finding> {
        let (code, body) = self.get("/configz").await?;
        let problem =
            |text: String| Finding::problem(SUBJECT, format!("{}/configz: {text}", self.address));
        match code {
            200 => {
                let components: Option<Map<String, Value>> = serde_json::from_str(&body).ok();
                let flags = components.and_then(|mut components| components.remove(COMPONENT));
                match flags {
                    Some(Value::Object(flags)) => Ok(flags),
                    _ => Err(problem(format!("it has no flags of {COMPONENT}"))
                        .remedy("correct the address in the kubeconfig: another server responds")),
                }
            }
            401 => Err(problem("401: the server does not accept the credentials".into())
                .remedy(format!("renew the token or client certificate in the file of {FLAG}"))),
            403 => Err(problem("403: the user may not read the flags".into())
                .remedy("grant the verb get on the nonResourceURL /configz with a ClusterRole")),
            404 => Err(problem("404: the server is older than this command".into())
                .remedy("use the check command of the same version")),
            code => Err(problem(format!("code {code}")).remedy("see the log of the server")),
        }
    }

    /// Reports failed checks and warnings of `/readyz`.
    pub(super) async fn health(&self) -> Vec<Finding> {
        let (code, body) = match self.get("/readyz?verbose").await {
            Ok(response) => response,
            Err(finding) => return vec![finding],
        };
        // The flags need the same credentials, and report them.
        if code == 401 {
            return Vec::new();
        }
        let line = |line: &str| {
            if let Some(warning) = line.strip_prefix("warn: ") {
                return Some(Finding::problem(SUBJECT, format!("it warns: {warning}")));
            }
            let failed = line.strip_prefix("[-]")?;
            let finding = Finding::problem(SUBJECT, format!("it is not ready: {failed}"));
            Some(finding.remedy("its log has the reason: health check failed"))
        };
        let mut findings: Vec<Finding> = body.lines().filter_map(line).collect();
        if findings.is_empty() {
            findings.push(match code {
                200 => Finding::ok(SUBJECT, format!("{} is ready", self.address)),
                code => Finding::problem(SUBJECT, format!("{}/readyz: code {code}", self.address))
                    .remedy("correct the address in the kubeconfig: another server responds"),
            });
        }
        findings
    }

    async fn get(&self, path: &str) -> Result<(u16, String), Finding> {
        let request = http::Request::get(path).body(Body::empty()).expect("the path is valid");
        let response = self.client.send(request).await.map_err(|error| {
            let finding = Finding::problem(SUBJECT, error_message(&error));
            match Fault::of(&error).server_remedy() {
                Some(remedy) => finding.remedy(remedy),
                None => finding,
            }
        })?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let body = body
            .map_err(|why| Finding::problem(SUBJECT, format!("{}{path}: {why}", self.address)))?;
        Ok((code, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }
}
