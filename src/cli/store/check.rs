//! `store check`: verifies every row, the consistency of rows, and every object.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use clap::Args;

use super::{MaintenanceOptions, input, offline};
use crate::cli::check::finding::{CheckReport, Finding};
use crate::cli::progress::Progress;
use crate::cli::size::size;
use crate::resources::consistency::{ConsistencyCheck, ConsistencyReport};
use crate::store::{
    ArchiveError, ArchiveReader, ArchiveSummary, FsckReport, Maintenance, Problems, SpaceUse,
};

/// Flags of `store check`.
#[derive(Debug, Args)]
pub(in crate::cli) struct StoreCheckCommand {
    /// Backup to verify instead of the data folder, or - for standard input.
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    common: MaintenanceOptions,
}

const FILE: &str = "file";
const SPACE: &str = "space";
const OBJECTS: &str = "objects";
const BACKUP: &str = "backup";

/// Remedy for a damaged file.
const RESTORE: &str = "keep a copy of the folder, and restore the latest backup into another one, \
     or save the rest with `store export --skip-damaged` and import it there";
/// Remedy for inconsistent derived rows of readable objects.
const REBUILD: &str =
    "save readable objects: `store export`, then `store import` into another folder";

impl StoreCheckCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { backup, common } = self;
        let folder = common.begin()?;
        let mut report = CheckReport::default();
        let progress = Progress::start("checking", None);
        match backup {
            Some(file) => check_backup(input::file(&file)?, &mut report),
            None => check_folder(&*folder.maintenance(), &mut report)?,
        }
        drop(progress);
        report.end()
    }
}

fn check_folder(folder: &dyn Maintenance, report: &mut CheckReport) -> anyhow::Result<()> {
    let FsckReport { revision, compacted, keys, values, bytes, changes, space, problems } =
        offline(folder.fsck())?;
    if problems.total > 0 {
        report_problems(report, FILE, problems, RESTORE);
        return Ok(());
    }
    let text = format!(
        "{keys} keys, {values} values of {}, {changes} changes in the history; revisions {compacted} to {revision} are readable",
        size(bytes)
    );
    report.add(Finding::ok(FILE, text));
    report.add(Finding::ok(SPACE, space_text(&space)));
    objects(input::of(offline(folder.open_read_only())?)?, report)?;
    Ok(())
}

/// The use of the file, as stored.
fn space_text(space: &SpaceUse) -> String {
    let SpaceUse { latest, replaced, index, overhead, free } = space;
    let of = |age: &'static str, sums: &BTreeMap<String, u64>| {
        let part = move |(resource, bytes): (&String, &u64)| match resource.as_str() {
            "" => format!("{age} values {}", size(*bytes)),
            resource => format!("{age} {resource} {}", size(*bytes)),
        };
        sums.iter().map(part).collect::<Vec<_>>()
    };
    let others = [("log and index", index), ("page overhead", overhead), ("free", free)];
    let others = others.map(|(part, bytes)| format!("{part} {}", size(*bytes)));
    [of("latest", latest), of("replaced", replaced), others.to_vec()].concat().join(", ")
}

fn check_backup(source: impl Read, report: &mut CheckReport) {
    match objects(source, report) {
        Ok(ArchiveSummary { revision, entries, bytes, .. }) => {
            let text = format!(
                "{entries} entries as of revision {revision}, {}; its checksum matches",
                size(bytes)
            );
            report.add(Finding::ok(BACKUP, text));
        }
        // These errors name the remedy.
        Err(why) => report.add(Finding::problem(BACKUP, why.to_string())),
    }
}

/// Verifies all objects.
fn objects(source: impl Read, report: &mut CheckReport) -> Result<ArchiveSummary, ArchiveError> {
    let mut archive = ArchiveReader::begin(BufReader::new(source))?;
    let mut check = ConsistencyCheck::default();
    for entry in archive.by_ref() {
        check.visit(&entry?);
    }
    let summary = archive.summary().expect("an archive without errors has a summary");
    let ConsistencyReport { images, streams, problems: found } = check.finish();
    let mut problems = Problems::default();
    found.into_iter().for_each(|problem| problems.add(problem));
    if problems.total == 0 {
        let text = format!("{images} images and {streams} streams are readable and consistent");
        report.add(Finding::ok(OBJECTS, text));
    }
    report_problems(report, OBJECTS, problems, REBUILD);
    Ok(summary)
}

fn report_problems(
    report: &mut CheckReport,
    subject: &'static str,
    Problems { first, total }: Problems,
    remedy: &str,
) {
    let more = total.saturating_sub(first.len() as u64);
    let last = first.len().saturating_sub(1);
    for (at, problem) in first.into_iter().enumerate() {
        let finding = Finding::problem(subject, problem);
        report.add(if at == last && more == 0 { finding.remedy(remedy) } else { finding });
    }
    if more > 0 {
        report.add(Finding::problem(subject, format!("{more} more problems")).remedy(remedy));
    }
}
