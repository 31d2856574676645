//! `store backup`: writes a backup and verifies it on the way.

use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::output::Output;
use super::{MaintenanceOptions, input, size};
use crate::store::{ArchiveReader, ArchiveSummary};

/// Flags of `store backup`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BackupCommand {
    /// New file for the backup, or - for standard output.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    common: MaintenanceOptions,
}

impl BackupCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { file, common } = self;
        let folder = common.begin()?;
        let output = Output::open(&file)?;
        if output.is_terminal() {
            bail!(
                "refusing to write a binary backup to a terminal: pass a file or redirect standard output"
            );
        }
        let ArchiveSummary { revision, entries, bytes } = copy(input::store(&folder)?, output)?;
        eprintln!("backed up {entries} entries as of revision {revision}, {}", size(bytes));
        Ok(())
    }
}

fn copy(source: impl Read, output: Output) -> anyhow::Result<ArchiveSummary> {
    const CHUNK_BYTES: usize = 128 << 10;
    let mut tee = Tee { source, output };
    let summary = {
        let mut archive = ArchiveReader::begin(BufReader::with_capacity(CHUNK_BYTES, &mut tee))?;
        archive.by_ref().try_for_each(|entry| entry.map(drop))?;
        archive.summary().context("the backup is truncated")?
    };
    tee.output.finish()?;
    Ok(summary)
}

/// Reader that copies its data to an output.
struct Tee<R> {
    source: R,
    output: Output,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.output.write_all(&buffer[..length])?;
        Ok(length)
    }
}
