//! Recovery after a failure of the file: closes it, opens it again, and verifies that every
//! acknowledged commit is still in it. If one is missing, or the file soon fails again, the store
//! stops for good.
//!
//! Opening rewrites and syncs the header of the file, and every commit syncs its rows before the
//! header refers to them. So every row that a reopened file returns is durable, even if the sync
//! of the header failed.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{Incident, OpenError, Revision, StoreError};

use super::error::{Stopped, panicked};
use super::handle::Handle;
use super::open;
use super::options::Options;

/// The store stops if the file fails again within this time. A full disk does not count.
const TRIAL: Duration = Duration::from_secs(60);

/// Parameters and history of reopening.
pub(super) struct Recovery {
    options: Options,
    /// The time of the last reopening after a failure other than a full disk.
    last: Option<Instant>,
}

/// A reopened file.
pub(super) struct Reopened {
    /// Its latest revision.
    pub(super) revision: Revision,
    /// The message of the operating system if a full disk was the failure.
    pub(super) full: Option<String>,
}

impl Recovery {
    pub(super) fn new(options: Options) -> Self {
        Self { options, last: None }
    }

    /// Opens the file again.
    ///
    /// # Errors
    /// The store is stopped. Every later call returns the same error.
    pub(super) fn recover(
        &mut self,
        handle: &Handle,
        failure: &StoreError,
        acknowledged: Revision,
    ) -> Result<Reopened, StoreError> {
        let full = full_disk(failure);
        handle.fail(failure.clone());
        handle.notify(if full.is_some() { Incident::Full } else { Incident::Failed });
        match self.reopen(handle, failure, full.as_deref(), acknowledged) {
            Ok(revision) => {
                tracing::warn!(%revision, "the store was opened again");
                Ok(Reopened { revision, full })
            }
            Err(stopped) => {
                let stopped = StoreError::Unavailable(Arc::new(stopped));
                handle.stop(stopped.clone());
                Err(stopped)
            }
        }
    }

    fn reopen(
        &mut self,
        handle: &Handle,
        failure: &StoreError,
        full: Option<&str>,
        acknowledged: Revision,
    ) -> Result<Revision, Stopped> {
        let (path, cause) = (self.options.data_file(), cause(failure));
        tracing::error!(path = %path.display(), %cause, "the data file failed, opening it again");
        if full.is_none()
            && let Some(after) = self.last.map(|last| last.elapsed()).filter(|after| *after < TRIAL)
        {
            return Err(Stopped::Again { path, cause, after });
        }
        let not_reopened =
            |source| Stopped::NotReopened { path: path.clone(), cause: cause.clone(), source };
        let database = open::reopen(&self.options).map_err(not_reopened)?;
        let found = self.catch(|| handle.reopen(database)).map_err(not_reopened)?;
        if found < acknowledged {
            return Err(Stopped::Lost { path, cause, acknowledged, found });
        }
        self.catch(|| handle.publish()).map_err(not_reopened)?;
        if full.is_none() {
            self.last = Some(Instant::now());
        }
        Ok(found)
    }

    fn catch<T>(&self, step: impl FnOnce() -> Result<T, StoreError>) -> Result<T, OpenError> {
        let done =
            catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| Err(panicked(&*panic)));
        done.map_err(|error| open::unusable(&self.options.data_file(), error))
    }
}

/// The inner error, without the prefix of [`StoreError::Unavailable`].
fn cause(failure: &StoreError) -> String {
    match failure {
        StoreError::Unavailable(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// The message of the operating system if the disk is full.
fn full_disk(failure: &StoreError) -> Option<String> {
    let StoreError::Unavailable(source) = failure else { return None };
    match source.downcast_ref::<redb::Error>() {
        Some(redb::Error::Io(error)) if is_about_space(error) => Some(error.to_string()),
        _ => None,
    }
}

fn is_about_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}
