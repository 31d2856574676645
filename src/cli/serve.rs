//! `serve`: runs the server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::check::finding::Finding;
use super::kubeconfig::Kubeconfig;
use super::settings::SettingsOptions;
use crate::server::shutdown::Shutdown;
use crate::server::{self, EffectiveFlags, Options, Running};
use crate::telemetry::log;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    written: WriteKubeconfigOptions,
    #[command(flatten)]
    log: log::Options,
    #[command(flatten)]
    _settings: SettingsOptions,
}

/// The flag of the kubeconfig that `serve` writes.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct WriteKubeconfigOptions {
    /// Write a kubeconfig for this machine, without credentials.
    ///
    /// kubectl --kubeconfig FILE --token TOKEN uses it.
    #[arg(long, value_name = "FILE")]
    pub(super) write_kubeconfig: Option<PathBuf>,
}

impl WriteKubeconfigOptions {
    /// Checks the folder of the file.
    pub(super) fn check(&self) -> Vec<Finding> {
        let folder = self.write_kubeconfig.as_deref().and_then(|path| {
            let path = std::path::absolute(path).ok()?;
            path.parent().filter(|folder| !folder.is_dir()).map(Path::to_owned)
        });
        let problem = |folder: PathBuf| {
            let text = format!("--write-kubeconfig: there is no folder {}", folder.display());
            Finding::problem("flags", text).remedy("create the folder, or correct the flag")
        };
        folder.map(problem).into_iter().collect()
    }
}

impl ServeCommand {
    /// Sets the values of all flags, which `/configz` shows.
    pub(super) fn set_flags(&mut self, flags: EffectiveFlags) {
        self.options.effective_flags = flags;
    }

    pub(super) async fn run(self) -> anyhow::Result<()> {
        let suppressed = log::init(self.log.verbosity, self.log.logging_format)?;
        tokio::spawn(suppressed.report_at_intervals());
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        match server::start(self.options, shutdown).await? {
            Some(running) => {
                if let Some(path) = &self.written.write_kubeconfig {
                    write_kubeconfig(&running, path)?;
                }
                running.until_end().await
            }
            None => Ok(()),
        }
    }
}

fn write_kubeconfig(running: &Running, path: &Path) -> anyhow::Result<()> {
    let certificate = std::path::absolute(&running.certificate).with_context(|| {
        format!("--write-kubeconfig: cannot resolve {}", running.certificate.display())
    })?;
    let config = Kubeconfig {
        address: running.address,
        certificate: &certificate,
        user: "user",
        token_file: None,
        namespace: None,
    };
    config.write(path).context("--write-kubeconfig")
}
