//! `docs`: writes the documents in `src/cli/docs`, after a change of commands or flags.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_complete::aot::Generator;

use super::{Cli, completion, reference};

/// Shells with a completion script in the folder.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// Flags of `docs`.
#[derive(Debug, Args)]
pub(super) struct DocsCommand {
    /// Folder for reference.md, man pages and shell completions.
    #[arg(value_name = "FOLDER", default_value = "src/cli/docs")]
    folder: PathBuf,
}

impl DocsCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // Commit and date of the build would change the documents with every commit.
        let mut command = Cli::command().long_version(None::<&str>).disable_help_subcommand(true);
        command.build();
        write(&self.folder.join("reference.md"), reference::markdown(&command).as_bytes())?;
        for shell in SHELLS {
            let path = self.folder.join("completions").join(shell.file_name(command.get_name()));
            write(&path, &completion::script(shell))?;
        }
        let pages = self.folder.join("man");
        create(&pages)?;
        clap_mangen::generate_to(command, &pages)
            .with_context(|| format!("cannot write {}", pages.display()))
    }
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    create(path.parent().expect("the path of every document has a folder"))?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn create(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
