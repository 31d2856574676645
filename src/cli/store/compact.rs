//! `store compact`: shrinks the data file.

use clap::Args;

use super::{MaintenanceOptions, offline};
use crate::cli::progress::Progress;
use crate::cli::size::size;
use crate::cli::stdout::print_line;
use crate::store::{DefragReport, FileSize};

/// Flags of `store compact`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompactCommand {
    #[command(flatten)]
    common: MaintenanceOptions,
}

impl CompactCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.common.begin()?;
        let progress = Progress::start("compacting", None);
        let DefragReport { before, after } = offline(folder.maintenance().defrag())?;
        drop(progress);
        print_line(format_args!("before: {}", description(before)));
        print_line(format_args!("after:  {}", description(after)));
        Ok(())
    }
}

fn description(FileSize { length, allocated }: FileSize) -> String {
    format!("{}, {} allocated", size(length), size(allocated))
}
