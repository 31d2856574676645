//! `store compact`: makes the data file small.

use clap::Args;

use super::{Common, offline, options, size};
use crate::store::embedded::{FileSize, Shrunk, shrink};

/// Flags of `store compact`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Compact {
    #[command(flatten)]
    common: Common,
}

impl Compact {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let dir = self.common.begin()?;
        let Shrunk { before, after } = offline(shrink(&options(&dir)))?;
        println!("before: {}", told(before));
        println!("after:  {}", told(after));
        Ok(())
    }
}

fn told(FileSize { length, allocated }: FileSize) -> String {
    format!("{}, of which {} are on the disk", size(length), size(allocated))
}
