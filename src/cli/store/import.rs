//! `store import`: stores objects from JSON.

use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::{MaintenanceOptions, input, offline};
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::meta::Time;
use crate::resources::Catalog;
use crate::resources::catalog::StorageLimits;
use crate::resources::import_export::{
    self, DecodeError, ImportMode, Imported, Importer, StoredObject,
};
use crate::store::{self, MAX_VALUE_BYTES, OpenOptions, Opened, Reserve};
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
    /// Validate the objects and store nothing.
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
}

/// Numbers of imported objects.
#[derive(Debug, Default)]
struct ImportSummary {
    made: u64,
    skipped: u64,
    refused: u64,
}

/// Number of objects that are stored concurrently, so that they share commits of the store.
const BATCH_SIZE: usize = 64;

/// No limits: objects of a server with higher limits can be imported.
const LIMITS: StorageLimits = StorageLimits {
    streams_per_namespace: None,
    object_bytes: MAX_VALUE_BYTES,
    tag_history: MaxTagHistory(None),
    history: None,
};

impl ImportCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { file, existing, dry_run, common } = self;
        let folder = common.begin()?;
        let input = BufReader::new(input::file(&file)?);
        let options = OpenOptions { reserve: Some(Reserve::default()), ..folder.options() };
        let Opened { store, .. } = offline(store::open(options))?;
        let catalog = Catalog::new(&store, Registries::default(), &LIMITS);
        let importer = Importer {
            catalog: &catalog,
            existing: match existing {
                ExistingPolicy::Refuse => import_export::ConflictPolicy::Refuse,
                ExistingPolicy::Skip => import_export::ConflictPolicy::Skip,
            },
            mode: if dry_run { ImportMode::DryRun } else { ImportMode::Write },
            now: Time::now(),
        };
        let mut summary = ImportSummary::default();
        for value in serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>() {
            let context = || {
                format!(
                    "cannot parse {} as a sequence of JSON objects, after {summary}",
                    file.display()
                )
            };
            let value = value.with_context(context)?;
            summary.add(&importer, &value).await;
        }
        println!("{}{summary}", if dry_run { "dry run, nothing was stored: " } else { "" });
        println!(
            "objects keep uid, creationTimestamp and status if set, and get a new resourceVersion"
        );
        match summary.refused {
            0 => Ok(()),
            refused => bail!("{refused} objects were refused"),
        }
    }
}

impl ImportSummary {
    /// Stores the objects of a value. Prints the errors of refused ones.
    async fn add(&mut self, importer: &Importer<'_>, value: &RawValue) {
        let objects = import_export::decode_objects(value).unwrap_or_else(|why| vec![Err(why)]);
        let mut objects = objects.into_iter().peekable();
        while objects.peek().is_some() {
            let group = objects.by_ref().take(BATCH_SIZE).map(|object| import(importer, object));
            for imported in join_all(group).await {
                match imported {
                    Ok(Imported::Created) => self.made += 1,
                    Ok(Imported::Skipped) => self.skipped += 1,
                    Err(why) => {
                        self.refused += 1;
                        eprintln!("{}", escaped(&why));
                    }
                }
            }
        }
    }
}

async fn import(
    importer: &Importer<'_>,
    object: Result<StoredObject, DecodeError>,
) -> Result<Imported, String> {
    let object = object.map_err(|why| why.to_string())?;
    importer.import(object).await.map_err(|status| match status.hidden {
        Some(cause) => format!("{} ({cause})", status.message),
        None => status.message,
    })
}

impl std::fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { made, skipped, refused } = self;
        write!(f, "{made} objects stored, {skipped} skipped because they exist, {refused} refused")
    }
}
