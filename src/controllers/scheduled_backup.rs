//! Scheduled backups of the running server into a folder, which should be on another volume.
//!
//! A backup is read back and verified before it gets its name. Old backups are removed only after a
//! new one is complete, so a store that cannot be backed up never costs the last good backup.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::backup::NICENESS;
use super::backup_folder::{BackupFolder, StoredBackup};
use super::controller::Controller;
use crate::meta::duration;
use crate::store::partial_file::PartialFile;
use crate::store::{ArchiveError, ArchiveReader, Backup, BackupError};
use crate::telemetry::backup_metrics::BackupMetrics;
use crate::telemetry::metrics::Metrics;

/// Flags of scheduled backups.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Storage")]
pub struct Options {
    /// Folder for scheduled backups, which should be on another volume than --data-dir.
    ///
    /// Without it, no backups are made.
    #[arg(long, value_name = "FOLDER", conflicts_with = "etcd_servers")]
    pub backup_dir: Option<PathBuf>,
    /// Interval between scheduled backups.
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = duration::positive)]
    pub backup_interval: Duration,
    /// Age at which a scheduled backup is removed; the latest one always stays.
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = duration::positive)]
    pub backup_retention: Duration,
}

/// The longest delay before the next attempt after a failure.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(600);
/// The size of a write to the file.
const CHUNK_BYTES: usize = 128 << 10;

/// Makes backups at intervals.
pub(super) struct ScheduledBackup {
    folder: BackupFolder,
    backup: Arc<dyn Backup>,
    interval: Duration,
    retention: Duration,
    metrics: Arc<Metrics>,
}

/// The reason why there is no new backup.
#[derive(Debug, thiserror::Error)]
enum ScheduleError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("the backup cannot be read back: {0}")]
    NotReadBack(#[from] ArchiveError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ScheduledBackup {
    /// Scheduled backups with these flags; none without `--backup-dir`.
    pub(super) fn new(
        options: Options,
        backup: Arc<dyn Backup>,
        metrics: Arc<Metrics>,
    ) -> Option<Self> {
        let Options { backup_dir, backup_interval, backup_retention } = options;
        let folder = BackupFolder::new(backup_dir?);
        let (interval, retention) = (backup_interval, backup_retention);
        Some(Self { folder, backup, interval, retention, metrics })
    }

    /// Makes a backup at each interval. Logs failures. Never returns.
    async fn back_up_at_intervals(&self) {
        let mut latest = self.latest();
        self.show(latest.as_ref());
        loop {
            let age = latest.as_ref().and_then(|backup| backup.taken.elapsed().ok());
            tokio::time::sleep(age.map_or(Duration::ZERO, |age| self.interval.saturating_sub(age)))
                .await;
            match self.back_up().await {
                Ok(backup) => {
                    info!(path = %backup.path.display(), bytes = backup.bytes, "scheduled backup complete");
                    self.show(Some(&backup));
                    latest = Some(backup);
                    self.remove_old();
                }
                Err(error) => {
                    let folder = self.folder.path().display();
                    warn!(%folder, %error, "a scheduled backup failed");
                    self.backup_metrics().record_failure();
                    tokio::time::sleep(MAX_RETRY_DELAY.min(self.interval)).await;
                }
            }
        }
    }

    /// The latest backup in the folder. Removes what an earlier process has left behind.
    fn latest(&self) -> Option<StoredBackup> {
        let found = self.folder.remove_incomplete().and_then(|()| self.folder.backups());
        found.map(|mut backups| backups.pop()).unwrap_or_else(|error| {
            let folder = self.folder.path().display();
            warn!(%folder, %error, "the folder of scheduled backups cannot be used");
            None
        })
    }

    fn show(&self, latest: Option<&StoredBackup>) {
        let seconds = |backup: &StoredBackup| {
            backup.taken.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
        };
        self.backup_metrics()
            .set_latest(latest.map_or(0, seconds), latest.map_or(0, |backup| backup.bytes));
    }

    fn backup_metrics(&self) -> &BackupMetrics {
        self.metrics.usage().backups()
    }

    /// Makes one backup on a thread with low priority.
    async fn back_up(&self) -> Result<StoredBackup, ScheduleError> {
        let (done, outcome) = oneshot::channel();
        let (folder, backup) = (self.folder.clone(), self.backup.clone());
        thread::Builder::new().name("backup".to_owned()).spawn(move || {
            // On Linux this is the niceness of the calling thread only. A failure does not harm the
            // backup.
            let _ = rustix::process::nice(NICENESS);
            // The receiver is dropped when the server ends.
            let _ = done.send(write(&folder, &*backup, SystemTime::now()));
        })?;
        outcome.await.unwrap_or_else(|_| Err(io::Error::other("the thread ended early").into()))
    }

    fn remove_old(&self) {
        match self.folder.remove_old(SystemTime::now(), self.retention) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => info!(removed = removed.len(), "old scheduled backups were removed"),
            Err(error) => warn!(%error, "old scheduled backups cannot be removed"),
        }
    }
}

impl Controller for ScheduledBackup {
    fn name(&self) -> &'static str {
        "scheduled-backup"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.back_up_at_intervals())
    }
}

/// Writes a backup, reads it back, and gives it its name.
fn write(
    folder: &BackupFolder,
    backup: &dyn Backup,
    now: SystemTime,
) -> Result<StoredBackup, ScheduleError> {
    let path = folder.file_of(now);
    let mut output = BufWriter::with_capacity(CHUNK_BYTES, PartialFile::create(&path)?);
    let written = backup.write(&mut output)?;
    let output = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    let input = BufReader::with_capacity(CHUNK_BYTES, File::open(output.path())?);
    let mut archive = ArchiveReader::begin(input)?;
    // A backup without damaged entries is rejected here: the older ones are complete.
    archive.try_for_each(|entry| entry.map(drop))?;
    output.finish()?;
    Ok(StoredBackup { path, taken: now, bytes: written.bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[tokio::test]
    async fn a_backup_is_complete_and_has_its_time_in_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let backup = store::in_memory().unwrap();
        let options = Options {
            backup_dir: Some(dir.path().to_owned()),
            backup_interval: Duration::from_secs(3600),
            backup_retention: Duration::from_secs(1),
        };
        let (ability, metrics) = (backup.backup.clone().unwrap(), Arc::new(Metrics::new()));
        let scheduled = ScheduledBackup::new(options, ability, metrics).unwrap();
        let made = scheduled.back_up().await.unwrap();
        assert_eq!(scheduled.folder.backups().unwrap(), [scheduled.latest().unwrap()]);
        assert_eq!(scheduled.latest().unwrap().path, made.path);
        let archive = ArchiveReader::begin(File::open(&made.path).unwrap()).unwrap();
        assert_eq!(archive.filter(Result::is_err).count(), 0);
    }

    #[tokio::test]
    async fn a_missing_folder_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let opened = store::in_memory().unwrap();
        let folder = BackupFolder::new(dir.path().join("nothing"));
        let error = write(&folder, &*opened.backup.unwrap(), SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("nothing"), "{error}");
    }
}
