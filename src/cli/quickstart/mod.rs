//! `quickstart`: a local server with a sample stream, and commands to try.
//!
//! Certificate, token and data are in one folder. A second run continues with them.

mod folder;
mod import;
mod sample;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;

use self::folder::QuickstartFolder;
use crate::auth::AuthorizationMode;
use crate::domain::reference::Reference;
use crate::server::shutdown::Shutdown;
use crate::server::{self, Options, Running};
use crate::telemetry::log;

/// Flags of `quickstart`.
#[derive(Debug, Args)]
pub(super) struct QuickstartCommand {
    /// Folder for data, certificate, token and kubeconfig; created with mode 0700.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    /// Port to serve HTTPS on, on 127.0.0.1; 0 for a free port.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    secure_port: u16,
    /// Image to import at start, from any registry; can be repeated.
    #[arg(long, value_name = "REFERENCE", value_parser = import::parse)]
    import: Vec<Reference>,
    #[command(flatten)]
    log: log::Options,
}

impl QuickstartCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { data_dir, secure_port, import, log } = self;
        log::init(log.verbosity, log.logging_format)?;
        let folder = QuickstartFolder::prepare(&data_dir)?;
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        let Some(running) = server::start(options(&folder, secure_port), shutdown).await? else {
            return Ok(());
        };
        sample::load(&running.client("quickstart")).await?;
        folder.write_kubeconfig(running.address, &running.certificate)?;
        for reference in &import {
            import::import(&running, reference).await;
        }
        println!("{}", instructions(&folder, &running));
        running.until_end().await
    }
}

/// The options of the server; all others are the defaults of `serve`.
fn options(folder: &QuickstartFolder, port: u16) -> Options {
    let mut options = Options::default();
    options.access.authorization_mode = Some(AuthorizationMode::AlwaysAllow);
    options.listen.bind_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    options.listen.secure_port = port;
    options.tls.cert_dir = folder.certificates();
    options.access.token_auth_file = Some(folder.tokens());
    options.storage.data_dir = folder.path().to_owned();
    // The server and its registries belong to the same user.
    options.oci.import_allow_cidrs =
        [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(IpNet::from).into();
    options
}

/// Text with commands to copy.
fn instructions(folder: &QuickstartFolder, running: &Running) -> String {
    let Running { address, certificate, .. } = running;
    let (full, short) = (sample::current(), sample::previous());
    format!(
        "The server listens on https://{address}. Press Ctrl-C to stop it. Its data is in {data}.\n\
         The sample stream {stream} in the namespace {namespace} has a history of images.\n\n\
         Get the current image by its digest:\n\n  {full}\n\n\
         Get the previous image by a digest prefix, with kubectl:\n\n  {partial}\n\n\
         Print tables:\n\n  {table}\n  {list}\n",
        data = folder.path().display(),
        stream = sample::STREAM,
        namespace = sample::NAMESPACE,
        full = curl(folder, *address, certificate, &full),
        partial = kubectl(
            folder,
            &format!("imagestreamimage {}@{} -o yaml", sample::STREAM, &short[..19])
        ),
        table = kubectl(folder, &format!("imagestreamimage {}@{}", sample::STREAM, &full[7..19])),
        list = kubectl(folder, "imagestreams"),
    )
}

fn curl(
    folder: &QuickstartFolder,
    address: SocketAddr,
    certificate: &Path,
    digest: &str,
) -> String {
    let path =
        format!("{}/namespaces/{}/imagestreamimages", crate::api::GROUP_VERSION, sample::NAMESPACE);
    format!(
        "curl --cacert {} -H \"Authorization: Bearer $(cat {})\" https://{address}/apis/{path}/{}@{digest}",
        quoted(certificate),
        quoted(&folder.token()),
        sample::STREAM,
    )
}

fn kubectl(folder: &QuickstartFolder, what: &str) -> String {
    format!(
        "kubectl --kubeconfig {} -n {} get {what}",
        quoted(&folder.kubeconfig()),
        sample::NAMESPACE
    )
}

/// Path as a word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain =
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
