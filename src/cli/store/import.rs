//! `store import`: stores objects from JSON.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::import_lines::{ImportLines, NumberedObject};
use super::{DataFolder, MaintainedStore, MaintenanceOptions, input, offline, open_etcd};
use crate::cli::progress::Progress;
use crate::cli::stdout::print_line;
use crate::domain::registries::Registries;
use crate::meta::{Status, Time};
use crate::resources::Catalog;
use crate::resources::catalog::StorageLimits;
use crate::resources::import_export::{
    self, ImageOrigin, ImportMode, Imported, Importer, StoredObject,
};
use crate::resources::openshift_layout::StoredForm;
use crate::store::{self, OpenOptions, Opened, Reserve};
use crate::telemetry::log::escaped;

/// Flags of `store import`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportCommand {
    /// File of Images and ImageStreams, as objects or lists, or - for standard input.
    ///
    /// Objects keep uid, creationTimestamp and status, and get a new resourceVersion.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Treatment of objects that exist already.
    #[arg(long, value_enum, default_value_t = ExistingPolicy::Refuse)]
    existing: ExistingPolicy,
    /// Validate the objects. Stores and creates nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: MaintenanceOptions,
}

/// Treatment of objects that exist already.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExistingPolicy {
    /// Report an error for each.
    Refuse,
    /// Keep the stored object.
    Skip,
    /// Replace the stored object, also one that cannot be read.
    Replace,
}

/// Numbers of imported objects.
#[derive(Debug, Default)]
struct ImportSummary {
    made: u64,
    replaced: u64,
    skipped: u64,
    refused: u64,
}

impl ImportCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let file = self.file.clone();
        let summary = match self.common.clone().begin_any()? {
            MaintainedStore::Folder(folder) => self.import_into_folder(&folder).await,
            MaintainedStore::Etcd(etcd, stored_form) => {
                self.import(open_etcd(*etcd).await?, stored_form).await
            }
        };
        let summary = summary.with_context(|| format!("cannot import {}", file.display()))?;
        print_line(format_args!(
            "{}{summary}",
            if self.dry_run { "dry run, nothing was stored: " } else { "" }
        ));
        print_line(format_args!(
            "objects keep uid, creationTimestamp and status if set, and get a new resourceVersion"
        ));
        match summary.refused {
            0 => Ok(()),
            refused => bail!("{refused} objects were refused"),
        }
    }

    async fn import_into_folder(&self, folder: &DataFolder) -> anyhow::Result<ImportSummary> {
        let exists = folder.maintenance().exists()?;
        match (exists, self.dry_run) {
            (true, true) => {
                let opened = offline(folder.maintenance().open_read_only())?;
                self.import(opened, StoredForm::Own).await
            }
            (false, true) => self.import(store::in_memory()?, StoredForm::Own).await,
            (true, false) => self.import(open(folder, &folder.path)?, StoredForm::Own).await,
            (false, false) => self.import_into_new(folder).await,
        }
    }

    /// Imports into a folder without a store. The store appears there once the import is complete,
    /// so that a failed one leaves nothing in the way.
    async fn import_into_new(&self, folder: &DataFolder) -> anyhow::Result<ImportSummary> {
        let place = folder.maintenance();
        let new = place.reserve_place()?;
        let summary = self.import(open(folder, new.path())?, StoredForm::Own).await?;
        new.fill()?;
        Ok(summary)
    }

    async fn import(
        &self,
        opened: Opened,
        stored_form: StoredForm,
    ) -> anyhow::Result<ImportSummary> {
        let limits = StorageLimits { stored_form, ..StorageLimits::NONE };
        let catalog = Catalog::new(&opened.store, Registries::default(), &limits);
        let importer = Importer {
            catalog: &catalog,
            existing: match self.existing {
                ExistingPolicy::Refuse => import_export::ConflictPolicy::Refuse,
                ExistingPolicy::Skip => import_export::ConflictPolicy::Skip,
                ExistingPolicy::Replace => import_export::ConflictPolicy::Replace,
            },
            mode: if self.dry_run { ImportMode::DryRun } else { ImportMode::Write },
            origin: ImageOrigin::Clients,
            now: Time::now(),
        };
        let (source, total) = input::sized_file(&self.file)?;
        let progress = Progress::start("importing", total);
        let mut lines = ImportLines::new(progress.watch(source));
        let mut summary = ImportSummary::default();
        while let Some(objects) =
            lines.next_objects().with_context(|| format!("stopped after {summary}"))?
        {
            summary.add(&importer, objects).await;
        }
        Ok(summary)
    }
}

/// Opens the store of a folder, which is created if there is none.
fn open(folder: &DataFolder, path: &Path) -> anyhow::Result<Opened> {
    let options = OpenOptions {
        reserve: Some(Reserve::default()),
        folder: path.to_owned(),
        ..folder.options()
    };
    offline(store::open(options))
}

impl ImportSummary {
    /// Stores objects. Prints the errors of refused ones.
    async fn add(&mut self, importer: &Importer<'_>, objects: Vec<NumberedObject>) {
        let (mut numbers, mut decoded): (Vec<_>, Vec<StoredObject>) = Default::default();
        for NumberedObject { number, object } in objects {
            match object {
                Ok(object) => {
                    numbers.push(number);
                    decoded.push(object);
                }
                Err(why) => self.refuse(&format!("{number}: {why}")),
            }
        }
        for (number, imported) in numbers.iter().zip(importer.import(decoded).await) {
            match imported {
                Ok(Imported::Created) => self.made += 1,
                Ok(Imported::Replaced) => self.replaced += 1,
                Ok(Imported::Skipped) => self.skipped += 1,
                Err(status) => self.refuse(&format!("{number}: {}", explained(status))),
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        eprintln!("{}", escaped(why));
    }
}

fn explained(status: Status) -> String {
    match status.hidden {
        Some(cause) => format!("{} ({cause})", status.message),
        None => status.message,
    }
}

impl std::fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { made, replaced, skipped, refused } = self;
        write!(f, "{made} objects stored, ")?;
        if *replaced > 0 {
            write!(f, "{replaced} replaced, ")?;
        }
        write!(f, "{skipped} skipped because they exist, {refused} refused")
    }
}
