//! Commands and their flags.

mod check;
mod openapi;
mod quickstart;
mod serve;
mod store;

use std::time::Duration;

use clap::{Parser, Subcommand};

/// An aggregated Kubernetes API server for image.openshift.io/v1.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API.
    Serve(Box<serve::Serve>),
    /// Tell, line by line, whether a server with the flags of `serve` can do its work. Changes nothing.
    Check(Box<check::Check>),
    /// Take care of the data: check it, back it up, restore it, carry objects elsewhere.
    #[command(subcommand)]
    Store(store::Store),
    /// Start a server for this machine with a sample stream, and print commands to try it with.
    Quickstart(quickstart::Quickstart),
    /// Write the OpenAPI documents that the server is built with.
    #[command(hide = true)]
    Openapi(openapi::Openapi),
}

impl Cli {
    /// Runs the command until its end.
    ///
    /// # Errors
    /// A sentence for the person who gave the command.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            match self.command {
                Command::Serve(serve) => serve.run().await,
                Command::Check(check) => check.run().await,
                Command::Store(store) => store.run().await,
                Command::Quickstart(quickstart) => quickstart.run().await,
                Command::Openapi(openapi) => openapi.run(),
            }
        });
        // What waits for a disk or a lock must not keep a process that was told to end.
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }
}
