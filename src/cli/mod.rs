//! Commands and their flags.

mod check;
mod completion;
mod docs;
mod effective;
mod kubeconfig;
mod openapi;
mod progress;
mod quickstart;
mod reference;
mod rollout;
mod serve;
mod settings;
mod size;
mod stdout;
mod store;
mod transfer;

use std::env;
use std::ffi::OsString;
use std::time::Duration;

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
    /// Copy all objects from one store or cluster to another one, and compare both.
    ///
    /// Objects that the target has already are skipped, so a transfer that was interrupted goes on
    /// when it runs again. Exits with code 1 if an object was refused or differs afterwards; all
    /// others are transferred.
    Transfer(transfer::TransferCommand),
    /// Run a server on this machine with a sample stream, and print commands to try.
    Quickstart(quickstart::QuickstartCommand),
    /// Wait until a Deployment is rolled out.
    ///
    /// The Helm chart waits in this way before it registers the server. Needs the right to get the
    /// Deployment.
    AwaitRollout(rollout::AwaitRolloutCommand),
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
        Ok(Self::parse(&mut command, arguments).unwrap_or_else(|error| error.exit()))
    }

    /// Parses these arguments, the first of which is the name of the program.
    fn parse(root: &mut clap::Command, arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let matches = root.try_get_matches_from_mut(&arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = root.find_subcommand(name)
        {
            match &mut cli.command {
                Command::Serve(serve) => serve.set_flags(effective::flags(command, matches)),
                Command::Check(check) => {
                    check.set_flags(arguments, effective::flags(command, matches));
                }
                Command::Quickstart(quickstart) => {
                    quickstart.set_flags(effective::flags(command, matches));
                }
                _ => {}
            }
        }
        Ok(cli)
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
                Command::Transfer(transfer) => transfer.run().await,
                Command::Quickstart(quickstart) => quickstart.run().await,
                Command::AwaitRollout(rollout) => rollout.run().await,
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

/// Message of an error and its causes. Many messages contain that of their cause, which is then
/// left out.
pub fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_each_cause_once() {
        let cause = std::io::Error::from_raw_os_error(13);
        let error = anyhow::Error::new(cause).context("a file: Permission denied (os error 13)");
        assert_eq!(message(&error), "a file: Permission denied (os error 13)");
        assert_eq!(message(&anyhow::anyhow!("why").context("what")), "what: why");
    }

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn check_takes_the_flags_of_serve() {
        let root = Cli::command();
        let flags = |name: &str| {
            let command = root.find_subcommand(name).unwrap();
            command.get_arguments().filter_map(clap::Arg::get_long).collect::<Vec<_>>()
        };
        let check = flags("check");
        for flag in flags("serve") {
            assert!(check.contains(&flag), "{flag}");
        }
    }
}
