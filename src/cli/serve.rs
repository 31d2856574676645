//! `serve`: runs the server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::kubeconfig::Kubeconfig;
use super::settings::SettingsOptions;
use crate::server::shutdown::Shutdown;
use crate::server::{self, Options, Running};
use crate::telemetry::log;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    options: Options,
    /// Write a kubeconfig for this machine, without credentials.
    ///
    /// kubectl --kubeconfig FILE --token TOKEN uses it.
    #[arg(long, value_name = "FILE")]
    write_kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    log: log::Options,
    #[command(flatten)]
    _settings: SettingsOptions,
}

impl ServeCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        log::init(self.log.verbosity, self.log.logging_format)?;
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        match server::start(self.options, shutdown).await? {
            Some(running) => {
                if let Some(path) = &self.write_kubeconfig {
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
