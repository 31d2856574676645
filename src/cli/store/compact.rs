//! `store compact`: makes the data file small.

use clap::Args;

use super::{MaintenanceOptions, offline, size};
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
        let DefragReport { before, after } = offline(folder.maintenance().defrag())?;
        println!("before: {}", description(before));
        println!("after:  {}", description(after));
        Ok(())
    }
}

fn description(FileSize { length, allocated }: FileSize) -> String {
    format!("{}, of which {} are on the disk", size(length), size(allocated))
}
