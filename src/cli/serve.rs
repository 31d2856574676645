//! `serve`: runs the server.

use anyhow::Context;
use clap::Args;

use crate::server::shutdown::Shutdown;
use crate::server::{self, Options};
use crate::telemetry::log;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: log::Options,
}

impl ServeCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        log::init(self.log.verbosity, self.log.logging_format)?;
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        match server::start(self.options, shutdown).await? {
            Some(running) => running.until_end().await,
            None => Ok(()),
        }
    }
}
