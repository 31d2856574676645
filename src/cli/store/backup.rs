//! `store backup`: writes a backup and verifies it on the way.

use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::damage::{self, DamageOptions, DamagePolicy};
use super::output::Output;
use super::{MaintenanceOptions, input};
use crate::cli::progress::Progress;
use crate::cli::size::size;
use crate::store::{ArchiveReader, ArchiveSummary};

/// Flags of `store backup`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BackupCommand {
    /// New file for the backup, or - for standard output.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    damage: DamageOptions,
    #[command(flatten)]
    common: MaintenanceOptions,
}

impl BackupCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { file, damage, common } = self;
        let folder = common.begin()?;
        let output = Output::open(&file)?;
        if output.is_terminal() {
            bail!(
                "refusing to write a binary backup to a terminal: pass a file or redirect standard output"
            );
        }
        let damage = damage.policy();
        let ArchiveSummary { revision, entries, bytes, missing } =
            copy(input::store(&folder, damage)?, output, damage)?;
        eprintln!("backed up {entries} entries as of revision {revision}, {}", size(bytes));
        if missing > 0 {
            bail!(
                "{missing} damaged entries are missing, all others are in the backup: \
                 `store export --backup FILE --skip-damaged` reads it"
            );
        }
        Ok(())
    }
}

fn copy(source: impl Read, output: Output, damage: DamagePolicy) -> anyhow::Result<ArchiveSummary> {
    const CHUNK_BYTES: usize = 128 << 10;
    let progress = Progress::start("backing up", None);
    let mut tee = Tee { source: progress.watch(source), output };
    let summary = {
        let archive = ArchiveReader::begin(BufReader::with_capacity(CHUNK_BYTES, &mut tee))?;
        let mut archive = damage.apply(archive);
        archive.by_ref().try_for_each(|entry| entry.map(drop))?;
        archive.missing().iter().for_each(damage::report);
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
