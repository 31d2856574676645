//! `store check`: looks at every row, at how the rows agree, and at every object.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, offline, options, size, source};
use crate::cli::check::finding::{Finding, Report};
use crate::resources::agreement::{Agreement, Judged};
use crate::store::embedded::{ArchiveError, ArchiveReader, Embedded, Examination, Faults, Summary, examine};

/// Flags of `store check`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// Backup to verify instead of the data folder, or - for standard input.
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

const FILE: &str = "file";
const OBJECTS: &str = "objects";
const BACKUP: &str = "backup";

/// The way out where the data cannot be trusted.
const RESTORE: &str = "keep a copy of the folder, and restore the latest backup into another one";
/// The way out where objects are whole and what was made of them is not.
const REBUILD: &str = "what can be read can be saved: `store export`, then `store import` into another folder";

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { backup, common } = self;
        let dir = common.begin()?;
        let mut report = Report::default();
        match backup {
            Some(file) => check_backup(source::file(&file)?, &mut report),
            None => check_folder(&dir, &mut report)?,
        }
        report.end()
    }
}

fn check_folder(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let Examination { revision, compacted, keys, values, bytes, changes, faults } = offline(examine(&options(dir)))?;
    if faults.total > 0 {
        tell(report, FILE, faults, RESTORE);
        return Ok(());
    }
    let text = format!(
        "{keys} keys, {values} values of {}, {changes} changes are remembered; revisions {compacted} to {revision} can be read",
        size(bytes)
    );
    report.add(Finding::good(FILE, text));
    let store = offline(Embedded::open_to_look(options(dir)))?;
    objects(source::of(store)?, report)?;
    Ok(())
}

fn check_backup(source: impl Read, report: &mut Report) {
    match objects(source, report) {
        Ok(Summary { revision, entries, bytes }) => {
            let text = format!("{entries} entries as of revision {revision}, {}; its checksum matches", size(bytes));
            report.add(Finding::good(BACKUP, text));
        }
        // These errors name the way out themselves.
        Err(why) => report.add(Finding::wrong(BACKUP, why.to_string())),
    }
}

/// Looks at all objects.
fn objects(source: impl Read, report: &mut Report) -> Result<Summary, ArchiveError> {
    let mut archive = ArchiveReader::begin(BufReader::new(source))?;
    let mut agreement = Agreement::default();
    for entry in archive.by_ref() {
        agreement.see(&entry?);
    }
    let summary = archive.summary().expect("an archive without errors comes to its end");
    let Judged { images, streams, faults: found } = agreement.judge();
    let mut faults = Faults::default();
    found.into_iter().for_each(|fault| faults.add(fault));
    if faults.total == 0 {
        let text = format!("{images} images and {streams} streams can be read, and what lies beside them agrees");
        report.add(Finding::good(OBJECTS, text));
    }
    tell(report, OBJECTS, faults, REBUILD);
    Ok(summary)
}

fn tell(report: &mut Report, subject: &'static str, Faults { told, total }: Faults, way_out: &str) {
    let more = total.saturating_sub(told.len() as u64);
    let last = told.len().saturating_sub(1);
    for (at, fault) in told.into_iter().enumerate() {
        let finding = Finding::wrong(subject, fault);
        report.add(if at == last && more == 0 { finding.way_out(way_out) } else { finding });
    }
    if more > 0 {
        report.add(Finding::wrong(subject, format!("{more} more of this kind")).way_out(way_out));
    }
}
