//! One process at a time in a folder: a lock on a file beside the data, which the operating system gives up when the
//! process ends, however it ends.
//!
//! redb locks the data file as well. The lock here also covers the time before there is one.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::error::OpenError;
use super::private;

/// The file in the folder that carries the lock. It stays empty and stays behind.
const LOCK_FILE: &str = "store.lock";
/// How often to look again; the operating system offers no wait that ends.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits for something that another process holds, up to a point in time.
pub(super) struct Patience {
    dir: PathBuf,
    start: Instant,
    timeout: Duration,
    told: bool,
}

impl Patience {
    pub(super) fn new(dir: &Path, timeout: Duration) -> Self {
        Self { dir: dir.to_owned(), start: Instant::now(), timeout, told: false }
    }

    /// Sleeps a moment, or ends the waiting. Says once that there is something to wait for.
    pub(super) fn wait(&mut self) -> Result<(), OpenError> {
        let left = self.timeout.saturating_sub(self.start.elapsed());
        if left.is_zero() {
            return Err(OpenError::InUse { dir: self.dir.clone(), waited: self.timeout });
        }
        if !self.told {
            self.told = true;
            let (dir, timeout) = (self.dir.display(), self.timeout);
            tracing::warn!("{dir} is in use by another process; waiting up to {timeout:?} (--data-dir-lock-timeout)");
        }
        thread::sleep(INTERVAL.min(left));
        Ok(())
    }
}

/// Takes the folder. It is given up when the file is dropped.
pub(super) fn take(dir: &Path, patience: &mut Patience) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let not_writable = |source| OpenError::NotWritable { path: path.clone(), source };
    let file = private::open_or_create(&path).map_err(not_writable)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => patience.wait()?,
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
    }
}
