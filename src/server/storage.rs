//! Opening of the store, with metrics of its incidents.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::etcd::EtcdFlags;
use crate::meta::{byte_size, duration};
use crate::store::private_file::open_to_others;
use crate::store::{
    self, Backend, FileOpener, Incident, Observer, OpenOptions, Opened, Reserve, free_space,
};
use crate::telemetry::metrics::{Metrics, StorageIncident};

/// Flags of storage.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Storage")]
pub struct StorageOptions {
    /// Storage backend.
    #[arg(long, value_enum, value_name = "BACKEND", default_value_t)]
    pub storage_backend: Backend,
    /// Data folder of the embedded store; created with mode 0700.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub data_dir: PathBuf,
    /// Time to wait for another process that has --data-dir open.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::non_negative, conflicts_with = "etcd_servers")]
    pub data_dir_lock_timeout: Duration,
    /// Space to keep free on the volume of --data-dir, at least 32Mi.
    ///
    /// Below it writes get 507, and reads go on. Deletions and compaction continue down to a quarter
    /// of it.
    #[arg(long, value_name = "BYTES", default_value = "64Mi", value_parser = reserve, conflicts_with = "etcd_servers")]
    pub storage_reserve: u64,
    /// Flags of the etcd store.
    #[command(flatten)]
    pub etcd: EtcdFlags,
    /// Opens the data file. Not a flag; benchmarks replace it with a slow disk.
    #[arg(skip)]
    pub opener: FileOpener,
}

/// Signal for a write beyond the file size limit (`ulimit -f`), fatal without a handler.
const SIGXFSZ: i32 = 25;

/// Opens the store of these flags, with the limit of each account in bytes.
pub(super) async fn open(
    storage: StorageOptions,
    account_limit: Option<u64>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Opened> {
    // A handler turns such a write into an error, like a write to a full disk.
    drop(signal(SignalKind::from_raw(SIGXFSZ)).context("signals cannot be received")?);
    let StorageOptions {
        storage_backend,
        data_dir,
        data_dir_lock_timeout,
        storage_reserve,
        etcd,
        opener,
    } = storage;
    let etcd = etcd.options(storage_backend)?;
    let folder = data_dir.clone();
    let options = OpenOptions {
        backend: storage_backend,
        lock_timeout: data_dir_lock_timeout,
        reserve: Some(Reserve::of(storage_reserve)),
        account_limit,
        opener,
        observer: Observer(Arc::new(move |incident| {
            metrics.record_storage_incident(label(incident))
        })),
        etcd,
        ..OpenOptions::new(data_dir)
    };
    let opened = tokio::task::spawn_blocking(move || store::open(options)).await;
    let opened = opened.context("opening the store ended early")?;
    if storage_backend != Backend::Embedded {
        return Ok(opened?);
    }
    let opened = opened.context("--data-dir cannot be used")?;
    if let Ok(Some(mode)) = open_to_others(&folder) {
        let mode = format_args!("{mode:o}");
        tracing::warn!(folder = %folder.display(), %mode, "other users can enter the data folder: chmod it to 700");
    }
    log_room(&folder, storage_reserve);
    Ok(opened)
}

/// Parses the value of `--storage-reserve`.
fn reserve(text: &str) -> Result<u64, String> {
    let bytes = byte_size::parse(text)?;
    if bytes < Reserve::MIN_BYTES {
        return Err(format!("use {} or more: writes need some room", Reserve::MIN_BYTES));
    }
    Ok(bytes)
}

/// Logs the free space, as a warning if writes will be refused.
fn log_room(folder: &Path, reserve: u64) {
    let path = folder.display();
    match free_space(folder) {
        Ok(free) if free < reserve => {
            tracing::warn!(folder = %path, free, reserve, "the volume has less free space than --storage-reserve: writes are refused; enlarge it");
        }
        Ok(free) => tracing::info!(folder = %path, free, reserve, "space on the volume"),
        Err(error) => tracing::warn!(folder = %path, %error, "the free space is not known"),
    }
}

fn label(incident: Incident) -> StorageIncident {
    match incident {
        Incident::Damaged => StorageIncident::Damaged,
        Incident::Full => StorageIncident::Full,
        Incident::Failed => StorageIncident::Failed,
    }
}
