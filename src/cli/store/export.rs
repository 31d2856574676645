//! `store export`: writes all objects, one per line.

use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::input::{self, Input};
use super::output::Output;
use super::{DataFolder, MaintenanceOptions};
use crate::resources::import_export;
use crate::store::{ArchiveReader, ArchiveSummary};
use crate::telemetry::log::escaped;

/// Flags of `store export`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportCommand {
    /// New file for the objects, or - for standard output.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Backup to export instead of the data folder, or - for standard input.
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    common: MaintenanceOptions,
}

impl ExportCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { file, backup, common } = self;
        let folder = common.begin()?;
        let mut output = BufWriter::new(Output::open(&file)?);
        let Exported { lines, errors, summary } =
            export(open(backup.as_deref(), &folder)?, &mut output)?;
        output.into_inner().map_err(|error| error.into_error())?.finish()?;
        eprintln!("exported {lines} objects as of revision {}", summary.revision);
        if errors > 0 {
            bail!("{errors} entries could not be exported; all others were");
        }
        Ok(())
    }
}

fn open(backup: Option<&Path>, folder: &DataFolder) -> anyhow::Result<Input> {
    backup.map_or_else(|| input::store(folder), input::file)
}

struct Exported {
    lines: u64,
    errors: u64,
    summary: ArchiveSummary,
}

/// Writes all readable objects and prints the errors of the others.
fn export(source: Input, output: &mut impl Write) -> anyhow::Result<Exported> {
    let mut archive = ArchiveReader::begin(BufReader::new(source))?;
    let (mut lines, mut errors) = (0, 0);
    for entry in archive.by_ref() {
        match import_export::encode_line(&entry?) {
            Ok(Some(line)) => {
                output.write_all(&line)?;
                lines += 1;
            }
            Ok(None) => {}
            Err(why) => {
                eprintln!("{}", escaped(&why.to_string()));
                errors += 1;
            }
        }
    }
    Ok(Exported { lines, errors, summary: archive.summary().context("the backup is truncated")? })
}
