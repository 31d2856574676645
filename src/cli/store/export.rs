//! `store export`: writes all objects, one per line.

use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::damage::{self, DamageOptions, DamagePolicy};
use super::input::{self, Input};
use super::output::Output;
use super::{MaintainedStore, MaintenanceOptions, open_existing_etcd};
use crate::cli::progress::Progress;
use crate::resources::import_export;
use crate::resources::openshift_layout::StoredForm;
use crate::store::{ArchiveReader, At, Entry, Opened, Page, Range, Revision, Store};
use crate::telemetry::log::escaped;

/// Bytes of values of one page of an open store.
const PAGE_BYTES: usize = 4 << 20;

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
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { file, backup, damage, common } = self;
        let damage = damage.policy();
        let source = match (backup, common.begin_any()?) {
            (Some(backup), _) => ExportSource::Archive(input::file(&backup)?),
            (None, MaintainedStore::Folder(folder)) => {
                ExportSource::Archive(input::store(&folder, damage)?)
            }
            (None, MaintainedStore::Etcd(etcd, stored_form)) => {
                ExportSource::Store(open_existing_etcd(*etcd).await?, stored_form)
            }
        };
        let mut output = BufWriter::new(Output::open(&file)?);
        let Exported { lines, errors, cropped, missing, revision } = match source {
            ExportSource::Archive(archive) => export(archive, &mut output, damage)?,
            ExportSource::Store(opened, form) => {
                export_store(&*opened.store, form, &mut output).await?
            }
        };
        output.into_inner().map_err(|error| error.into_error())?.finish()?;
        eprintln!("exported {lines} objects as of revision {revision}");
        if cropped > 0 {
            eprintln!("{cropped} of them lose fields of protobuf that this version does not know");
        }
        if errors > 0 {
            bail!("{errors} entries could not be exported; all others were");
        }
        if missing > 0 {
            bail!("{missing} damaged objects are missing; all others were exported");
        }
        Ok(())
    }
}

/// The source of the objects.
enum ExportSource {
    /// A backup, or an embedded store as a backup.
    Archive(Input),
    /// An open store with objects of this form.
    Store(Opened, StoredForm),
}

struct Exported {
    lines: u64,
    errors: u64,
    /// Number of objects with fields that have no place in a line.
    cropped: u64,
    /// Number of damaged objects. Derived rows do not count: an import makes them again.
    missing: usize,
    revision: Revision,
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
        match encode(&entry?, StoredForm::Own, output)? {
            EncodedEntry::Object | EncodedEntry::CroppedObject => lines += 1,
            EncodedEntry::DerivedRow => {}
            EncodedEntry::Unreadable => errors += 1,
        }
    }
    let missing = archive.missing().iter().filter(|entry| import_export::is_exported(&entry.key));
    let missing = missing.inspect(|entry| damage::report(entry)).count();
    let revision = archive.summary().context("the backup is truncated")?.revision;
    Ok(Exported { lines, errors, cropped: 0, missing, revision })
}

/// Writes all readable objects of an open store, as of its latest revision, and prints the errors
/// of the others.
async fn export_store(
    store: &dyn Store,
    stored_form: StoredForm,
    output: &mut impl Write,
) -> anyhow::Result<Exported> {
    let mut range = Range { bytes: PAGE_BYTES, ..Range::default() };
    let (mut lines, mut errors, mut cropped) = (0, 0, 0);
    loop {
        let Page { entries, revision, more } = store.range(range.clone()).await?;
        for entry in &entries {
            match encode(entry, stored_form, output)? {
                EncodedEntry::Object => lines += 1,
                EncodedEntry::CroppedObject => (lines, cropped) = (lines + 1, cropped + 1),
                EncodedEntry::DerivedRow => {}
                EncodedEntry::Unreadable => errors += 1,
            }
        }
        let Some(last) = entries.last().filter(|_| more) else {
            return Ok(Exported { lines, errors, cropped, missing: 0, revision });
        };
        range.start = Some(format!("{}\0", last.key));
        range.at = At::Revision(revision);
    }
}

/// The treatment of an entry.
enum EncodedEntry {
    /// The entry was written.
    Object,
    /// The entry was written without the fields that this version does not know.
    CroppedObject,
    /// The entry is made again by an import.
    DerivedRow,
    /// The error was printed.
    Unreadable,
}

fn encode(
    entry: &Entry,
    stored_form: StoredForm,
    output: &mut impl Write,
) -> anyhow::Result<EncodedEntry> {
    Ok(match import_export::read_object(entry, stored_form) {
        Ok(Some(object)) => {
            output.write_all(&import_export::encode_object(&object))?;
            match object.unknown_fields().message() {
                None => EncodedEntry::Object,
                Some(_) => EncodedEntry::CroppedObject,
            }
        }
        Ok(None) => EncodedEntry::DerivedRow,
        Err(why) => {
            eprintln!("{}", escaped(&why.to_string()));
            EncodedEntry::Unreadable
        }
    })
}
