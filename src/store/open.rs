//! The only module that names storage backends: opens a store by its [`Backend`], or the folder of
//! a stopped store for maintenance.

use std::path::Path;

use super::embedded::{self, Embedded};
use super::{Backend, Maintenance, OpenError, OpenOptions, Opened};

/// Memory for pages of the data file while the server runs. Values come from the page cache of the
/// operating system; this cache serves the index.
const PAGE_CACHE_BYTES: usize = 4 << 20;

/// Opens a store, which is created if there is none. Blocks while another process holds the folder.
///
/// # Errors
/// The folder is in use, cannot be read or written, or holds no valid data file.
pub fn open(options: OpenOptions) -> Result<Opened, OpenError> {
    let OpenOptions { backend, folder, lock_timeout, reserve, account_limit, opener, observer } =
        options;
    match backend {
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
