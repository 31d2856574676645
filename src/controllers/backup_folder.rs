//! The folder of scheduled backups: names, ages and removal of files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::store::partial_file::PARTIAL;

/// The first part of the names.
const PREFIX: &str = "imagestreams-";
/// The last part of the names.
const SUFFIX: &str = ".backup";
/// The time in the names, in UTC.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The folder of scheduled backups.
#[derive(Clone, Debug)]
pub(super) struct BackupFolder(PathBuf);

/// A backup in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredBackup {
    /// The path.
    pub(super) path: PathBuf,
    /// The time of the backup.
    pub(super) taken: SystemTime,
    /// The size in bytes.
    pub(super) bytes: u64,
}

impl BackupFolder {
    /// The folder at a path.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a backup that is taken at this time.
    pub(super) fn file_of(&self, taken: SystemTime) -> PathBuf {
        let time = Timestamp::try_from(taken).unwrap_or_default();
        let time = time.to_zoned(TimeZone::UTC).strftime(TIME).to_string();
        self.0.join(format!("{PREFIX}{time}{SUFFIX}"))
    }

    /// The backups, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn backups(&self) -> io::Result<Vec<StoredBackup>> {
        let mut backups = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if let Some(taken) = entry.file_name().to_str().and_then(time_of) {
                let bytes = entry.metadata()?.len();
                backups.push(StoredBackup { path: entry.path(), taken, bytes });
            }
        }
        backups.sort_by_key(|backup| backup.taken);
        Ok(backups)
    }

    /// Removes the backups that are older than `retention`, except for the latest one. Returns
    /// them.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(super) fn remove_old(
        &self,
        now: SystemTime,
        retention: Duration,
    ) -> io::Result<Vec<StoredBackup>> {
        let mut backups = self.backups()?;
        backups.pop();
        let is_old = |backup: &StoredBackup| {
            now.duration_since(backup.taken).is_ok_and(|age| age > retention)
        };
        backups.retain(is_old);
        backups.iter().try_for_each(|backup| fs::remove_file(&backup.path))?;
        Ok(backups)
    }

    /// Removes incomplete backups, which a killed process leaves behind.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(super) fn remove_incomplete(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(PARTIAL)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The time in the name of a backup; none for other files.
fn time_of(name: &str) -> Option<SystemTime> {
    let time = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let time = DateTime::strptime(TIME, time).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn old_backups_are_removed_but_never_the_latest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = BackupFolder::new(dir.path().to_owned());
        let at = |hour: u64| UNIX_EPOCH + Duration::from_secs(1_800_000_000 + hour * 3600);
        for hour in [5, 0, 1] {
            fs::write(folder.file_of(at(hour)), "content").unwrap();
        }
        for other in ["imagestreams-.backup", "notes", "a.partial"] {
            fs::write(dir.path().join(other), "").unwrap();
        }
        let times = |backups: Vec<StoredBackup>| -> Vec<SystemTime> {
            backups.into_iter().map(|backup| backup.taken).collect()
        };
        assert_eq!(times(folder.backups().unwrap()), [0, 1, 5].map(at));
        let retention = Duration::from_secs(5 * 3600);
        assert_eq!(times(folder.remove_old(at(6), retention).unwrap()), [at(0)]);
        assert_eq!(times(folder.remove_old(at(100), retention).unwrap()), [at(1)]);
        assert_eq!(times(folder.backups().unwrap()), [at(5)], "the latest stays");
        folder.remove_incomplete().unwrap();
        assert!(!dir.path().join("a.partial").exists() && dir.path().join("notes").exists());
    }
}
