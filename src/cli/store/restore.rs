//! `store restore`: creates a store from a backup.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;

use super::{MaintenanceOptions, input, offline};
use crate::cli::progress::Progress;
use crate::cli::size::size;
use crate::cli::stdout::print_line;
use crate::store::{RestoreError, RestoreOptions, Restored, Revision};

/// Flags of `store restore`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreCommand {
    /// Backup file, or - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Lower bound for new resourceVersions.
    ///
    /// Set it to the highest resourceVersion that clients have seen, if the clock of the old server
    /// was wrong.
    #[arg(long, value_name = "RESOURCEVERSION", default_value_t = 0)]
    seen_resource_version: u64,
    #[command(flatten)]
    common: MaintenanceOptions,
}

impl RestoreCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { file, seen_resource_version, common } = self;
        let folder = common.begin()?;
        let options =
            RestoreOptions { now: SystemTime::now(), seen: Revision(seen_resource_version) };
        let (source, total) = input::sized_file(&file)?;
        let progress = Progress::start("restoring", total);
        let restored = folder.maintenance().restore(&mut progress.watch(source), options);
        drop(progress);
        let Restored { backup, begins } = match restored {
            Err(RestoreError::Folder(error)) => offline(Err(error))?,
            other => other?,
        };
        print_line(format_args!(
            "restored {} entries as of revision {}, {}, into {}",
            backup.entries,
            backup.revision,
            size(backup.bytes),
            folder.path.display()
        ));
        print_line(format_args!(
            "changes before revision {begins} count as compacted: clients must list and watch again"
        ));
        Ok(())
    }
}
