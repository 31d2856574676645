//! The embedded store as the contract suite and the model need it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imagestream_apiserver::store::embedded::{Embedded, Options};
use tempfile::TempDir;

use crate::harness::{Lab, TestStore};

/// Embedded store in its own folder.
pub(crate) struct EmbeddedLab {
    store: Arc<Embedded>,
    dir: TempDir,
}

impl Lab for EmbeddedLab {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Arc::new(Embedded::open(options(&dir)).unwrap()), dir }
    }

    fn store(&self) -> Arc<dyn TestStore> {
        self.store.clone()
    }

    async fn reopen(self) -> Self {
        let Self { store, dir } = self;
        drop(Arc::into_inner(store).expect("all handles are dropped before the reopen"));
        Self { store: Arc::new(Embedded::open(options(&dir)).unwrap()), dir }
    }
}

/// Options without a wait for the lock of the folder.
pub(crate) fn options(dir: &TempDir) -> Options {
    Options { lock_timeout: Duration::ZERO, ..Options::new(dir.path()) }
}

/// A text of this length that the store cannot compress.
pub(crate) fn incompressible(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.alphanumeric()).collect::<String>().into()
}
