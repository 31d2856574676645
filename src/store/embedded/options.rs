//! Parameters of an embedded store, and the first revision of a new one.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::{Observer, Reserve, Revision};

use super::backend::FileOpener;

/// Name of the data file in the folder.
pub const DATA_FILE: &str = "store.redb";

/// Parameters of [`super::Embedded::open`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder. It is created if it is missing.
    pub dir: PathBuf,
    /// The longest wait for another process that holds the folder.
    pub lock_timeout: Duration,
    /// Bytes of the page cache. More than 16 MiB makes nothing faster.
    pub cache_bytes: usize,
    /// The first revision of a new store, see [`first_revision`]. An existing store ignores it.
    pub first_revision: Revision,
    /// The space to leave free. With `None` the file system may run full, and the file is reopened.
    pub reserve: Option<Reserve>,
    /// The limit of each account in bytes; `None` for no limit.
    pub account_limit: Option<u64>,
    /// Opens the data file.
    pub opener: FileOpener,
    /// Receives every incident.
    pub observer: Observer,
}

impl Options {
    /// Default options for a folder: 30 s, 16 MiB, the current time, no reserve, no limit of
    /// accounts, a plain file, no observer.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            lock_timeout: Duration::from_secs(30),
            cache_bytes: 16 << 20,
            first_revision: first_revision(SystemTime::now()),
            reserve: None,
            account_limit: None,
            opener: FileOpener::default(),
            observer: Observer::default(),
        }
    }

    /// The path of the data file.
    pub(super) fn data_file(&self) -> PathBuf {
        self.dir.join(DATA_FILE)
    }
}

/// The first revision of a store that is created at this time: the seconds since 2020, times 2^20.
///
/// A store that replaces a lost one begins above every revision of the lost one, as long as that
/// took less than a million commits per second. Clients with an old revision get `Compacted` and
/// list again.
pub fn first_revision(now: SystemTime) -> Revision {
    const SECONDS_TO_2020: u64 = 1_577_836_800;
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Revision(seconds.saturating_sub(SECONDS_TO_2020).max(1) << 20)
}
