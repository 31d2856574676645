//! The backends by name, the parameters of opening, and an open store with its abilities.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use super::{
    Accounting, Backup, Compact, DiskUsage, Elector, EtcdOptions, FileOpener, Observer, Reserve,
    Scan, StorageQuota, Store, StoreHealth,
};

/// A storage backend, as `--storage-backend` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// A file in `--data-dir`, for a server with one replica and a volume.
    #[default]
    Embedded,
    /// A cluster of etcd, which several replicas of the server can share.
    Etcd3,
}

impl Backend {
    /// The name, as a flag and as the label `storage_cluster_id` of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Etcd3 => "etcd3",
        }
    }
}

/// Parameters of [`super::open()`].
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The backend.
    pub backend: Backend,
    /// The data folder. It is created if it is missing.
    pub folder: PathBuf,
    /// The longest wait for another process that holds the folder.
    pub lock_timeout: Duration,
    /// Disk space that stays free; `None` lets the file system run full.
    pub reserve: Option<Reserve>,
    /// The limit of each account in bytes, see [`Accounting`]; `None` for no limit.
    pub account_limit: Option<u64>,
    /// Opens the data file.
    pub opener: FileOpener,
    /// Receives every incident.
    pub observer: Observer,
    /// The parameters of the etcd backend, which ignores those of files.
    pub etcd: EtcdOptions,
}

impl OpenOptions {
    /// The default backend in a folder, which no other process may hold.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            backend: Backend::default(),
            folder: folder.into(),
            lock_timeout: Duration::ZERO,
            reserve: None,
            account_limit: None,
            opener: FileOpener::default(),
            observer: Observer::default(),
            etcd: EtcdOptions::new(Vec::new()),
        }
    }
}

/// An open store with the abilities of its backend.
#[derive(Clone)]
pub struct Opened {
    /// The backend.
    pub backend: Backend,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its health.
    pub health: Arc<dyn StoreHealth>,
    /// The election of one of the replicas that share the store.
    pub elector: Arc<dyn Elector>,
    /// Compaction; `None` if something else compacts the backend.
    pub compact: Option<Arc<dyn Compact>>,
    /// The usage of accounts; `None` if the backend does not count it.
    pub accounting: Option<Arc<dyn Accounting>>,
    /// Backups of the open store. Does not keep the store open.
    pub backup: Option<Arc<dyn Backup>>,
    /// Scans of the stored values. Does not keep the store open.
    pub scan: Option<Arc<dyn Scan>>,
    /// The disk usage. Does not keep the store open.
    pub disk_usage: Option<Arc<dyn DiskUsage>>,
    /// The quota; `None` if the backend has none of its own.
    pub quota: Option<Arc<dyn StorageQuota>>,
}
