//! `store export`: writes all objects, one per line.

use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::damage::{self, DamageOptions, DamagePolicy};
use super::input::{self, Input};
use super::output::Output;
use super::progress::Progress;
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
    damage: DamageOptions,
    #[command(flatten)]
    common: MaintenanceOptions,
}

impl ExportCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { file, backup, damage, common } = self;
        let damage = damage.policy();
        let folder = common.begin()?;
        let mut output = BufWriter::new(Output::open(&file)?);
        let Exported { lines, errors, missing, summary } =
            export(open(backup.as_deref(), &folder, damage)?, &mut output, damage)?;
        output.into_inner().map_err(|error| error.into_error())?.finish()?;
        eprintln!("exported {lines} objects as of revision {}", summary.revision);
        if errors > 0 {
            bail!("{errors} entries could not be exported; all others were");
        }
        if missing > 0 {
            bail!("{missing} damaged objects are missing; all others were exported");
        }
        Ok(())
    }
}

fn open(backup: Option<&Path>, folder: &DataFolder, damage: DamagePolicy) -> anyhow::Result<Input> {
    backup.map_or_else(|| input::store(folder, damage), input::file)
}

struct Exported {
    lines: u64,
    errors: u64,
    /// Number of damaged objects. Derived rows do not count: an import makes them again.
    missing: usize,
    summary: ArchiveSummary,
}

/// Writes all readable objects and prints the errors of the others.
fn export(
    source: Input,
    output: &mut impl Write,
    damage: DamagePolicy,
) -> anyhow::Result<Exported> {
    let progress = Progress::start("exporting", None);
    let source = BufReader::new(progress.watch(source));
    let mut archive = damage.apply(ArchiveReader::begin(source)?);
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
    let missing = archive.missing().iter().filter(|entry| import_export::is_exported(&entry.key));
    let missing = missing.inspect(|entry| damage::report(entry)).count();
    let summary = archive.summary().context("the backup is truncated")?;
    Ok(Exported { lines, errors, missing, summary })
}
