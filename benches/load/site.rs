//! Common environment of the servers of one size, and their start.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

use crate::caller::{Caller, TOKEN};
use crate::control_plane::ControlPlane;
use crate::corpus::EVENTS_PER_TAG;
use crate::listen::Pair;
use crate::process::Process;
use crate::wire::Connector;

const CERTIFICATES: &str = "certs";
/// Kubeconfig of the control plane, in the folder of a site.
const KUBECONFIG: &str = "kubeconfig";
/// Certificate of all servers, in the folder of a site.
pub(crate) const CHAIN: &str = "certs/apiserver.crt";
/// Key of that certificate.
pub(crate) const KEY: &str = "certs/apiserver.key";

/// Folder with certificates, tokens, a control plane, and the data of every server.
pub(crate) struct Site {
    folder: PathBuf,
    proxy: ProxyPair,
    /// Control plane of the servers.
    pub(crate) control_plane: ControlPlane,
}

/// Client certificate of a front proxy: the chain and the key, both DER.
struct ProxyPair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Site {
    /// Populates an empty folder.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::write(
            folder.join("tokens.csv"),
            format!("{TOKEN},load,uid-of-load,\"system:masters\"\n"),
        )?;
        let control_plane = ControlPlane::start(&folder.join(KUBECONFIG), &[])?;
        Ok(Self {
            proxy: front_proxy(&folder.join("front-proxy-ca.crt"))?,
            folder: folder.to_owned(),
            control_plane,
        })
    }

    /// Path of the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// New data folder, deleted on drop.
    pub(crate) fn data(&self) -> anyhow::Result<TempDir> {
        tempfile::tempdir_in(&self.folder).context("cannot create a data folder")
    }

    /// Starts the real server on this data.
    ///
    /// # Errors
    /// The server does not serve.
    pub(crate) fn serve(&self, data: &Path) -> anyhow::Result<Process> {
        self.serve_with(&[data_flag(data)])
    }

    /// Starts the real server on this data, behind the control plane of another kubeconfig.
    ///
    /// # Errors
    /// The server does not serve.
    pub(crate) fn serve_behind(&self, data: &Path, kubeconfig: &Path) -> anyhow::Result<Process> {
        start(&self.flags(kubeconfig), &[data_flag(data)])
    }

    /// Starts the real server with these flags of its store.
    ///
    /// # Errors
    /// The server does not serve.
    pub(crate) fn serve_with(&self, store: &[String]) -> anyhow::Result<Process> {
        start(&self.own_flags(), store)
    }

    /// Starts the server on this data, in a process of this program, on a disk with delayed syncs.
    ///
    /// # Errors
    /// The server does not serve.
    pub(crate) fn serve_on_slow_disk(
        &self,
        data: &Path,
        delay: Duration,
    ) -> anyhow::Result<Process> {
        let mut command =
            Command::new(env::current_exe().context("the path of this program is unknown")?);
        command.args(["--slow-disk", &delay.as_millis().to_string(), "--"]);
        command.args(self.own_flags()).arg(data_flag(data));
        Process::start(&mut command).context("the server does not start on a slow disk")
    }

    /// Creates a connector to the servers, which must have been started once. All use one
    /// certificate.
    ///
    /// # Errors
    /// The certificate is missing.
    pub(crate) fn connector(&self, caller: Caller) -> anyhow::Result<Connector> {
        let pair = || -> anyhow::Result<Pair> {
            let key = PrivateKeyDer::try_from(self.proxy.key.serialize_der())
                .map_err(anyhow::Error::msg)?;
            Ok(Pair { chain: vec![self.proxy.certificate.der().clone()], key })
        };
        let shown = (caller == Caller::FrontProxy).then(pair).transpose()?;
        Connector::new(&self.folder.join(CHAIN), shown)
    }

    fn own_flags(&self) -> Vec<String> {
        self.flags(&self.folder.join(KUBECONFIG))
    }

    fn flags(&self, kubeconfig: &Path) -> Vec<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        vec![
            "--bind-address=127.0.0.1".into(),
            "--secure-port=0".into(),
            format!("--cert-dir={}", at(CERTIFICATES)),
            format!("--token-auth-file={}", at("tokens.csv")),
            format!("--kubeconfig={}", kubeconfig.display()),
            "--authentication-skip-lookup".into(),
            format!("--requestheader-client-ca-file={}", at("front-proxy-ca.crt")),
            // The cache keeps reviews for the whole run: the cost of a review is not part of the
            // measurement.
            "--authentication-token-webhook-cache-ttl=24h".into(),
            "--authorization-webhook-cache-authorized-ttl=24h".into(),
            // Streams keep their size, however often their tags are pushed to.
            format!("--max-tag-history={EVENTS_PER_TAG}"),
            // All pushes go to one namespace, faster than any tenant may write.
            "--max-history-bytes-per-namespace=0".into(),
            "--internal-registry-hostname=image-registry.openshift-image-registry.svc:5000".into(),
            "--logging-format=json".into(),
        ]
    }
}

fn start(flags: &[String], store: &[String]) -> anyhow::Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    Process::start(command.arg("serve").args(flags).args(store))
        .context("the server does not start")
}

fn data_flag(data: &Path) -> String {
    format!("--data-dir={}", data.display())
}

/// Client certificate of a front proxy. Writes the certificate of its authority.
fn front_proxy(ca_file: &Path) -> anyhow::Result<ProxyPair> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, "front-proxy-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    fs::write(ca_file, params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, "front-proxy-client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    Ok(ProxyPair { certificate: params.signed_by(&key, &issuer)?, key })
}
