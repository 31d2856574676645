//! Opens the store, and counts what happens to it that should not.

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::options::{self, Storage};
use super::usage;
use crate::store::embedded::{self, Backups, Embedded, Incident, Observer, Reserve, Survey};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{Metrics, StorageIncident};

/// Memory for pages of the store. Its index is what is read most; values are read through the system's own cache.
const PAGE_CACHE_BYTES: usize = 4 << 20;

/// Sent for a write beyond the limit on the size of files (`ulimit -f`), and fatal unless it is caught.
const SIGXFSZ: i32 = 25;

/// A store that is open.
pub(super) struct Opened<F> {
    /// The store.
    pub(super) store: Arc<dyn Store>,
    /// Resolves, once it is so, with why the store has stopped for good: only a new process can mend that.
    pub(super) broken: F,
    /// Makes backups of it.
    pub(super) backups: Backups,
    /// Counts what is in it.
    pub(super) survey: Survey,
}

/// Opens the store of these flags.
pub(super) async fn open(
    storage: Storage,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Opened<impl Future<Output = StoreError> + Send + 'static>> {
    // From now on such a write fails like one to a full disk.
    drop(signal(SignalKind::from_raw(SIGXFSZ)).context("signals cannot be received")?);
    let Storage { data_dir, data_dir_lock_timeout, opener } = storage;
    let folder = data_dir.clone();
    let options = embedded::Options {
        lock_timeout: data_dir_lock_timeout,
        first_revision: embedded::first_revision(SystemTime::now()),
        cache_bytes: PAGE_CACHE_BYTES,
        reserve: Some(Reserve { bytes: options::SPACE_RESERVE, free: Arc::new(options::free_space) }),
        opener,
        observer: Observer(Arc::new(move |incident| metrics.storage_incident(named(incident)))),
        ..embedded::Options::new(data_dir)
    };
    let store =
        tokio::task::spawn_blocking(move || Embedded::open(options)).await.context("opening the store ended early")?;
    let store = store.context("--data-dir cannot be used")?;
    if let Ok(Some(mode)) = embedded::open_to_others(&folder) {
        let mode = format_args!("{mode:o}");
        tracing::warn!(folder = %folder.display(), %mode, "other users can enter the folder of the data: chmod it to 700");
    }
    let (broken, backups, survey) = (store.broken(), store.backups(), store.survey(usage::prefixes()));
    Ok(Opened { store: Arc::new(store), broken, backups, survey })
}

fn named(incident: Incident) -> StorageIncident {
    match incident {
        Incident::Damaged => StorageIncident::Damaged,
        Incident::Full => StorageIncident::Full,
        Incident::Failed => StorageIncident::Failed,
    }
}
