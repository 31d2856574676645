//! Commands and their flags.

mod check;
mod completion;
mod docs;
mod kubeconfig;
mod openapi;
mod quickstart;
mod reference;
mod serve;
mod settings;
mod store;

use std::env;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::server::version;

/// Aggregated Kubernetes API server for image.openshift.io/v1.
#[derive(Debug, Parser)]
#[command(version, long_version = version::describe(), args_override_self = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API server.
    Serve(Box<serve::ServeCommand>),
    /// Check flags, control plane, certificates and data folder of a server.
    ///
    /// Takes the flags of serve, prints one line for each check with the remedy, and exits with
    /// code 1 if a check fails. Changes nothing.
    Check(Box<check::CheckCommand>),
    /// Check, back up, restore, export and import the data.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Run a server on this machine with a sample stream, and print commands to try.
    Quickstart(quickstart::QuickstartCommand),
    /// Print the completion script of a shell.
    ///
    /// For bash, add this line to ~/.bashrc: source <(imagestream-apiserver completion bash)
    Completion(completion::CompletionCommand),
    /// Write the reference of commands and flags, man pages and shell completions.
    #[command(hide = true)]
    Docs(docs::DocsCommand),
    /// Write the OpenAPI documents of the API.
    #[command(hide = true)]
    Openapi(openapi::OpenapiCommand),
}

impl Cli {
    /// Parses the arguments of the process, its environment and the file of `--config`. Exits if
    /// they ask for help or cannot be parsed.
    ///
    /// # Errors
    /// A file or a variable that cannot be used.
    pub fn from_process() -> anyhow::Result<Self> {
        let mut command = Self::command();
        command.build();
        let arguments = settings::complete(&command, env::args_os().collect(), env::vars_os())?;
        let matches = command.get_matches_from(arguments);
        Self::from_arg_matches(&matches).context("the arguments cannot be read")
    }

    /// Runs the command.
    ///
    /// # Errors
    /// The first failure of the command.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            match self.command {
                Command::Serve(serve) => serve.run().await,
                Command::Check(check) => check.run().await,
                Command::Store(store) => store.run().await,
                Command::Quickstart(quickstart) => quickstart.run().await,
                Command::Completion(completion) => completion.run(),
                Command::Docs(docs) => docs.run(),
                Command::Openapi(openapi) => openapi.run(),
            }
        });
        // A thread that waits for a disk or a lock must not delay the exit.
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
