//! The lock on the folder: one process at a time. The operating system releases it when the process
//! ends.
//!
//! redb locks the data file as well. This lock also covers the time before that file exists.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::store::OpenError;
use crate::store::private_file;

/// Name of the lock file. It is empty and is never removed.
const LOCK_FILE: &str = "store.lock";
/// Interval between attempts; flock(2) has no timeout.
const INTERVAL: Duration = Duration::from_millis(50);

/// A bounded wait for another process.
pub(super) struct LockWait {
    dir: PathBuf,
    start: Instant,
    timeout: Duration,
    is_reported: bool,
}

impl LockWait {
    pub(super) fn new(dir: &Path, timeout: Duration) -> Self {
        Self { dir: dir.to_owned(), start: Instant::now(), timeout, is_reported: false }
    }

    /// Sleeps for a moment. Logs the first wait.
    ///
    /// # Errors
    /// The time is over.
    pub(super) fn wait(&mut self) -> Result<(), OpenError> {
        let left = self.timeout.saturating_sub(self.start.elapsed());
        if left.is_zero() {
            return Err(OpenError::InUse { dir: self.dir.clone(), waited: self.timeout });
        }
        if !self.is_reported {
            self.is_reported = true;
            let (dir, timeout) = (self.dir.display(), self.timeout);
            tracing::warn!(%dir, ?timeout, "the data folder is in use by another process; waiting (--data-dir-lock-timeout)");
        }
        thread::sleep(INTERVAL.min(left));
        Ok(())
    }
}

/// Locks the folder until the returned file is dropped.
pub(super) fn take(dir: &Path, lock_wait: &mut LockWait) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let not_writable = |source| OpenError::NotWritable { path: path.clone(), source };
    wait(private_file::open_or_create(&path).map_err(not_writable)?, &path, lock_wait)
}

/// Locks an existing folder on a read-only volume. Without a lock file, no process has used it.
pub(super) fn take_existing(
    dir: &Path,
    lock_wait: &mut LockWait,
) -> Result<Option<File>, OpenError> {
    let path = dir.join(LOCK_FILE);
    match File::open(&path) {
        Ok(file) => wait(file, &path, lock_wait).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::NotReadable { path, source }),
    }
}

fn wait(file: File, path: &Path, lock_wait: &mut LockWait) -> Result<File, OpenError> {
    let not_writable = |source| OpenError::NotWritable { path: path.to_owned(), source };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => lock_wait.wait()?,
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
    }
}
