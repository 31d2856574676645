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
mod restore;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::resources::openshift_layout::StoredForm;
use crate::server::etcd::EtcdFlags;
use crate::store::{self, Backend, EtcdOptions, Maintenance, OpenError, OpenOptions, Opened};
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
            Self::Export(export) => export.run().await,
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
    etcd: EtcdFlags,
    #[command(flatten)]
    log: log::Options,
}

impl MaintenanceOptions {
    /// Sets up logging. Returns the folder.
    ///
    /// # Errors
    /// The backend has no data folder.
    fn begin(self) -> anyhow::Result<DataFolder> {
        match self.begin_any()? {
            MaintainedStore::Folder(folder) => Ok(folder),
            MaintainedStore::Etcd(..) => bail!(
                "--storage-backend=etcd3: this command needs a data folder. Use the tools of etcd: \
                 etcdctl snapshot save and etcdutl snapshot restore for backups, etcdctl endpoint hashkv \
                 for a check, etcdctl defrag to shrink; store export and store import work with etcd"
            ),
        }
    }

    /// Sets up logging. Returns the store of the flags.
    fn begin_any(self) -> anyhow::Result<MaintainedStore> {
        let Self { storage_backend, data_dir, etcd, log } = self;
        log::init(log.verbosity, log.logging_format)?;
        let stored_form = etcd.stored_form();
        let etcd = etcd.options(storage_backend)?;
        Ok(match storage_backend {
            Backend::Etcd3 => MaintainedStore::Etcd(Box::new(etcd), stored_form),
            Backend::Embedded => MaintainedStore::Folder(DataFolder { path: data_dir }),
        })
    }
}

/// The store that a command works on.
enum MaintainedStore {
    /// The embedded store of a stopped server.
    Folder(DataFolder),
    /// A store in etcd, with objects of this form.
    Etcd(Box<EtcdOptions>, StoredForm),
}

/// Data folder of a stopped server.
struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    fn maintenance(&self) -> Box<dyn Maintenance> {
        store::maintenance(&self.path)
    }

    /// Options to open the folder. They do not wait for another process.
    fn options(&self) -> OpenOptions {
        OpenOptions::new(&self.path)
    }
}

/// Opens a store that exists in etcd.
///
/// # Errors
/// There is none, or etcd does not answer in time, with the reason.
async fn open_existing_etcd(etcd: EtcdOptions) -> anyhow::Result<Opened> {
    if !store::etcd_store_exists(&etcd).await? {
        let (servers, prefix) = (etcd.servers.join(","), etcd.object_prefix());
        bail!(
            "etcd at {servers} has no store below {prefix}: correct --etcd-prefix or --storage-layout"
        );
    }
    open_etcd(etcd).await
}

/// Opens a store in etcd, which is created if there is none.
///
/// # Errors
/// etcd does not answer in time, with the reason.
pub(super) async fn open_etcd(etcd: EtcdOptions) -> anyhow::Result<Opened> {
    let servers = etcd.servers.join(",");
    let options = OpenOptions { backend: Backend::Etcd3, etcd, ..OpenOptions::new("") };
    let opened = store::open(options)?;
    let ready = opened.health.ready().await;
    ready.with_context(|| format!("no store can be opened in etcd at {servers}"))?;
    Ok(opened)
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
