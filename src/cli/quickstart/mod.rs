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
use serde_json::json;

use self::folder::QuickstartFolder;
use super::stdout::print_line;
use crate::auth::AuthorizationMode;
use crate::controllers::image_import;
use crate::domain::reference::Reference;
use crate::server::shutdown::Shutdown;
use crate::server::{self, EffectiveFlags, Options, Running};
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
    /// Import controller.
    #[command(flatten)]
    image_imports: image_import::Options,
    #[command(flatten)]
    log: log::Options,
    /// Values of all flags of this command.
    #[arg(skip)]
    flags: EffectiveFlags,
}

impl QuickstartCommand {
    /// Sets the values of all flags.
    pub(super) fn set_flags(&mut self, flags: EffectiveFlags) {
        self.flags = flags;
    }

    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { data_dir, secure_port, import, image_imports, log, flags } = self;
        let suppressed = log::init_quiet(log.verbosity, log.logging_format)?;
        tokio::spawn(suppressed.report_at_intervals());
        let folder = QuickstartFolder::prepare(&data_dir)?;
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        let mut options = Options { image_imports, ..options(&folder, secure_port) };
        options.effective_flags = serve_flags(flags, &options);
        let Some(running) = server::start(options, shutdown).await? else {
            return Ok(());
        };
        sample::load(&running.client("quickstart")).await?;
        folder.write_kubeconfig(running.address, &running.certificate)?;
        folder.write_mapping()?;
        for reference in &import {
            import::import(&running, reference).await;
        }
        print_line(format_args!("{}", instructions(&folder, &running)?));
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
    options.registries.internal_registry_hostname = Some(sample::REGISTRY.into());
    // The server and its registries belong to the same user.
    options.oci.import_allow_cidrs =
        [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(IpNet::from).into();
    options
}

/// The flags with which `serve` would have these options, for `/configz`: those of `quickstart`, of
/// which `serve` has the same, and those that [`options`] sets.
fn serve_flags(EffectiveFlags(mut flags): EffectiveFlags, options: &Options) -> EffectiveFlags {
    flags.remove("import");
    let Options { access, listen, tls, registries, oci, .. } = options;
    for (name, value) in [
        ("authorization-mode", json!("AlwaysAllow")),
        ("bind-address", json!(listen.bind_address)),
        ("cert-dir", json!(tls.cert_dir)),
        ("token-auth-file", json!(access.token_auth_file)),
        ("internal-registry-hostname", json!(registries.internal_registry_hostname)),
        ("import-allow-cidrs", oci.import_allow_cidrs.iter().map(IpNet::to_string).collect()),
    ] {
        flags.insert(name.into(), value);
    }
    EffectiveFlags(flags)
}

/// Text with commands to copy.
fn instructions(folder: &QuickstartFolder, running: &Running) -> anyhow::Result<String> {
    let Running { address, certificate, .. } = running;
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("cannot resolve {}", path.display()))
    };
    let (current, previous) = (sample::current(), sample::previous());
    let (current_start, previous_start) = (&current[7..19], &previous[7..19]);
    Ok(format!(
        "The server listens on https://{address}. Press Ctrl-C to stop it. Its data is in {data}.\n\
         The namespace {namespace} has the image stream {stream}. Its tag latest was updated once.\n\n\
         Use it from another terminal, with kubectl or oc:\n\n  \
         export KUBECONFIG={kubeconfig}\n\n\
         Get the stream, and the current image by the first digits of its digest:\n\n  \
         kubectl get imagestreams\n  \
         kubectl get imagestreamimage {stream}@{current_start}\n\n\
         Show the history of the tag, and the previous image:\n\n  \
         kubectl get imagetags\n  \
         kubectl describe imagetag {stream}:latest\n  \
         kubectl get imagestreamimage {stream}@{previous_start} -o yaml\n\n\
         Get the current image by its digest, without kubectl:\n\n  \
         {curl}\n\n\
         Add an image, as a registry does after a push, and point a second tag at it:\n\n  \
         kubectl create -f {mapping}\n  \
         kubectl patch imagestream {stream} --type=merge -p '{STABLE}'\n\n\
         Watch the stream while you change it in a third terminal:\n\n  \
         kubectl get imagestreams --watch\n\n\
         Read next: README.md, and manifests/README.md for a cluster.",
        data = folder.path().display(),
        stream = sample::STREAM,
        namespace = sample::NAMESPACE,
        kubeconfig = quoted(&absolute(&folder.kubeconfig())?),
        mapping = quoted(&absolute(&folder.mapping())?),
        curl = curl(folder, *address, certificate, &current),
    ))
}

/// Merge patch that adds the tag `stable`, with the current image of `mine`.
const STABLE: &str =
    r#"{"spec":{"tags":[{"name":"stable","from":{"kind":"ImageStreamTag","name":"hello:mine"}}]}}"#;

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

/// Path as a word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain =
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
