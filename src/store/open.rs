//! The one place that knows the storage backends: opens a store, or the folder of one for
//! maintenance, without naming a backend to the caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use super::embedded::{self, Embedded};
use super::{
    Backup, Compact, DiskUsage, FileOpener, Maintenance, Observer, OpenError, Reserve, Scan, Store, StoreHealth,
};

/// A storage backend, as `--storage-backend` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// A file in `--data-dir`, for a server with one replica and a volume.
    #[default]
    Embedded,
}

impl Backend {
    /// The name, as a flag and as the label `storage_cluster_id` of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
        }
    }
}

/// Parameters of [`open`].
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
    /// Opens the data file.
    pub opener: FileOpener,
    /// Receives every incident.
    pub observer: Observer,
}

impl OpenOptions {
    /// The default backend in a folder, which no other process may hold.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            backend: Backend::default(),
            folder: folder.into(),
            lock_timeout: Duration::ZERO,
            reserve: None,
            opener: FileOpener::default(),
            observer: Observer::default(),
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
    /// Compaction; `None` if something else compacts the backend.
    pub compact: Option<Arc<dyn Compact>>,
    /// Backups of the open store. Does not keep the store open.
    pub backup: Option<Arc<dyn Backup>>,
    /// Scans of the stored values. Does not keep the store open.
    pub scan: Option<Arc<dyn Scan>>,
    /// The disk usage. Does not keep the store open.
    pub disk_usage: Option<Arc<dyn DiskUsage>>,
}

/// Memory for pages of the data file while the server runs. Values come from the page cache of the
/// operating system; this cache serves the index.
const PAGE_CACHE_BYTES: usize = 4 << 20;

/// Opens a store, which is created if there is none. Blocks while another process holds the folder.
///
/// # Errors
/// The folder or the data in it cannot be used.
pub fn open(options: OpenOptions) -> Result<Opened, OpenError> {
    let OpenOptions { backend, folder, lock_timeout, reserve, opener, observer } = options;
    match backend {
        Backend::Embedded => {
            let options = embedded::Options {
                lock_timeout,
                cache_bytes: PAGE_CACHE_BYTES,
                reserve,
                opener,
                observer,
                ..embedded::Options::new(folder)
            };
            Embedded::open(options).map(Opened::from)
        }
    }
}

/// The maintenance of a data folder that no server uses.
pub fn maintenance(backend: Backend, folder: &Path) -> Box<dyn Maintenance> {
    match backend {
        Backend::Embedded => Box::new(embedded::Folder::new(folder)),
    }
}

/// An empty store in memory, which is lost when it is dropped.
///
/// # Errors
/// The operating system starts no thread.
pub fn in_memory() -> Result<Opened, OpenError> {
    Embedded::in_memory().map(Opened::from)
}

impl From<Embedded> for Opened {
    fn from(store: Embedded) -> Self {
        let (backup, scan) = (Arc::new(store.backups()), Arc::new(store.scans()));
        let disk_usage = store.disk_usage();
        let store = Arc::new(store);
        Self {
            backend: Backend::Embedded,
            health: store.clone(),
            compact: Some(store.clone()),
            backup: Some(backup),
            scan: Some(scan),
            disk_usage: disk_usage.map(|usage| Arc::new(usage) as Arc<dyn DiskUsage>),
            store,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Key, Lookup, Outcome, Txn};

    #[tokio::test]
    async fn memory_store_keeps_commits_and_has_no_file() {
        let Opened { store, health, compact, backup, disk_usage, .. } = in_memory().unwrap();
        let key = Key::new("/key");
        let txn = Txn { guards: vec![], changes: vec![Change::Put(key.clone(), "value".into())] };
        let Outcome::Committed(revision) = store.commit(txn).await.unwrap() else { panic!("nothing is guarded") };
        let Lookup::Found(found) = store.get(&key, None).await.unwrap() else { panic!("the key has a value") };
        assert_eq!((&*found.value, found.revision), (&b"value"[..], revision));
        compact.unwrap().compact(revision).await.unwrap();
        health.ready().await.unwrap();
        let mut bytes = Vec::new();
        assert_eq!(backup.unwrap().write(&mut bytes).unwrap().entries, 1);
        assert!(disk_usage.is_none());
        assert!(!Path::new("memory").exists(), "nothing is written to the disk");
    }
}
