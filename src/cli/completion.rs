//! `completion`: prints the completion script of a shell.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Flags of `completion`.
#[derive(Debug, Args)]
pub(super) struct CompletionCommand {
    /// Shell to complete commands in.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        io::stdout().write_all(&script(self.shell)).context("cannot write to standard output")
    }
}

/// Completion script of a shell, without the hidden commands, which clap_complete would offer.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let root = Cli::command();
    let visible = root.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = Command::new(PROGRAM).version("").subcommands(visible);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
    script
}
