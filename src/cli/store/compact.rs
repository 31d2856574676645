//! `store compact`: makes the data file small.

use clap::Args;

use super::{Common, offline, size};
use crate::store::{DefragReport, FileSize};

/// Flags of `store compact`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Compact {
    #[command(flatten)]
    common: Common,
}

impl Compact {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.common.begin()?;
        let DefragReport { before, after } = offline(folder.maintenance().defrag())?;
        println!("before: {}", told(before));
        println!("after:  {}", told(after));
        Ok(())
    }
}

fn told(FileSize { length, allocated }: FileSize) -> String {
    format!("{}, of which {} are on the disk", size(length), size(allocated))
}
