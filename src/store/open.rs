//! The only module that names storage backends: opens a store by its [`Backend`], or the folder of
//! a stopped store for maintenance.

use std::path::Path;

use super::embedded::{self, Embedded};
use super::{Backend, EtcdOptions, Maintenance, Observer, OpenError, OpenOptions, Opened};

/// Memory for pages of the data file while the server runs. Values come from the page cache of the
/// operating system; this cache serves the index.
const PAGE_CACHE_BYTES: usize = 2 << 20;

/// Opens a store, which is created if there is none. Blocks while another process holds the folder.
/// That of etcd does not wait for etcd, and needs a tokio runtime.
///
/// # Errors
/// The folder is in use, cannot be read or written, or holds no valid data file. The options of
/// etcd are not valid.
pub fn open(options: OpenOptions) -> Result<Opened, OpenError> {
    let OpenOptions {
        backend,
        folder,
        lock_timeout,
        reserve,
        account_limit,
        opener,
        observer,
        etcd,
    } = options;
    match backend {
        Backend::Etcd3 => open_etcd(&etcd, observer),
        Backend::Embedded => {
            let options = embedded::Options {
                lock_timeout,
                cache_bytes: PAGE_CACHE_BYTES,
                reserve,
                account_limit,
                opener,
                observer,
                ..embedded::Options::new(folder)
            };
            Embedded::open(options).map(Opened::from)
        }
    }
}

/// Returns true if etcd has a store below the prefix of the options. Writes nothing.
///
/// # Errors
/// The options are not valid, or no quorum of etcd answers.
#[cfg(feature = "etcd")]
pub async fn etcd_store_exists(options: &EtcdOptions) -> Result<bool, OpenError> {
    super::etcd::Etcd::exists(options).await
}

/// Returns an error, because this program was built without etcd.
///
/// # Errors
/// Always.
#[cfg(not(feature = "etcd"))]
pub async fn etcd_store_exists(_: &EtcdOptions) -> Result<bool, OpenError> {
    Err(without_etcd())
}

/// The maintenance of a data folder of the embedded store, which no server uses.
pub fn maintenance(folder: &Path) -> Box<dyn Maintenance> {
    Box::new(embedded::Folder::new(folder))
}

#[cfg(feature = "etcd")]
fn open_etcd(options: &EtcdOptions, observer: Observer) -> Result<Opened, OpenError> {
    super::etcd::Etcd::open(options, observer).map(|etcd| etcd.opened(options.compaction))
}

#[cfg(not(feature = "etcd"))]
fn open_etcd(_: &EtcdOptions, _: Observer) -> Result<Opened, OpenError> {
    Err(without_etcd())
}

#[cfg(not(feature = "etcd"))]
fn without_etcd() -> OpenError {
    let reason = "--storage-backend=etcd3: this program was built without etcd: \
                  build it with `cargo build --release --features etcd`, or use the image";
    OpenError::Options { reason: reason.to_owned() }
}

/// An empty store in memory, which is lost when it is dropped.
///
/// # Errors
/// The operating system starts no thread.
pub fn in_memory() -> Result<Opened, OpenError> {
    Embedded::in_memory().map(Opened::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Key, Lookup, Outcome, Txn};

    #[tokio::test]
    async fn memory_store_keeps_commits_and_has_no_file() {
        let Opened { store, health, compact, backup, disk_usage, .. } = in_memory().unwrap();
        let key = Key::new("/key");
        let txn = Txn {
            guards: vec![],
            changes: vec![Change::Put(key.clone(), "value".into())],
            ..Txn::default()
        };
        let Outcome::Committed(revision) = store.commit(txn).await.unwrap() else {
            panic!("nothing is guarded")
        };
        let Lookup::Found(found) = store.get(&key, None).await.unwrap() else {
            panic!("the key has a value")
        };
        assert_eq!((&*found.value, found.revision), (&b"value"[..], revision));
        compact.unwrap().compact(revision).await.unwrap();
        health.ready().await.unwrap();
        let mut bytes = Vec::new();
        assert_eq!(backup.unwrap().write(&mut bytes).unwrap().entries, 1);
        assert!(disk_usage.is_none());
        assert!(!Path::new("memory").exists(), "nothing is written to the disk");
    }
}
