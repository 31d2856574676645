//! `store`: maintenance of the stored data.
//!
//! Backup and export work beside a running server; all other commands need the folder exclusively.

mod backup;
mod check;
mod compact;
mod damage;
mod export;
mod import;
mod import_lines;
mod input;
mod output;
mod progress;
mod restore;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::store::{self, Backend, Maintenance, OpenError, OpenOptions};
use crate::telemetry::log;

/// Maintenance commands.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Verify the data folder or a backup: pages, rows, checksums and objects.
    ///
    /// Prints the findings with the remedy and exits with code 1 if anything is wrong. Changes
    /// nothing.
    Check(check::StoreCheckCommand),
    /// Write a consistent backup, also while a server runs.
    Backup(backup::BackupCommand),
    /// Create a store from a backup, in a folder without one.
    Restore(restore::RestoreCommand),
    /// Write all objects as lines of JSON, also while a server runs.
    Export(export::ExportCommand),
    /// Store objects from lines of JSON or from the output of kubectl get -o json.
    Import(import::ImportCommand),
    /// Shrink the data file to the size of its content.
    Compact(compact::CompactCommand),
}

impl StoreCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(check) => check.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Export(export) => export.run(),
            Self::Import(import) => import.run().await,
            Self::Compact(compact) => compact.run(),
        }
    }
}

/// Flags of every maintenance command.
#[derive(Clone, Debug, Args)]
#[group(skip)]
struct MaintenanceOptions {
    /// Storage backend of the server.
    #[arg(long, value_enum, value_name = "BACKEND", default_value_t)]
    storage_backend: Backend,
    /// Data folder of the server.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    #[command(flatten)]
    log: log::Options,
}

impl MaintenanceOptions {
    /// Sets up logging. Returns the folder.
    fn begin(self) -> anyhow::Result<DataFolder> {
        let Self { storage_backend, data_dir, log } = self;
        log::init(log.verbosity, log.logging_format)?;
        Ok(DataFolder { backend: storage_backend, path: data_dir })
    }
}

/// Data folder of a stopped server.
struct DataFolder {
    backend: Backend,
    path: PathBuf,
}

impl DataFolder {
    fn maintenance(&self) -> Box<dyn Maintenance> {
        store::maintenance(self.backend, &self.path)
    }

    /// Options to open the folder. They do not wait for another process.
    fn options(&self) -> OpenOptions {
        OpenOptions { backend: self.backend, ..OpenOptions::new(&self.path) }
    }
}

/// Replaces the error for a folder in use by one that names the commands for a running server.
fn offline<T>(opened: Result<T, OpenError>) -> anyhow::Result<T> {
    match opened {
        Err(OpenError::InUse { dir, .. }) => {
            bail!(
                "a server is running on {}: stop it first; only backup and export work beside it",
                dir.display()
            )
        }
        other => Ok(other?),
    }
}

/// Number of bytes, formatted for people.
fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let kib = bytes as f64 / KIB;
    if kib < KIB { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / KIB) }
}
