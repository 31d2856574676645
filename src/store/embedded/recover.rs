//! What the writer does when the file fails: it closes the file, opens it again and looks whether everything that was
//! acknowledged is still there. If that is not so, or the file soon fails again, the store stops for good.
//!
//! Opening writes the header of the file anew and syncs it, and every commit syncs its rows before the header names them.
//! So what is read after opening is durable, also when the sync that failed was the one of the header.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{Revision, StoreError};

use super::error::Stopped;
use super::incident::Incident;
use super::open::{self, DATA_FILE, Options};
use super::shared::panicked;
use super::writer::Writer;

/// A file that fails again within this time is given up. Running out of space does not count.
const TRIAL: Duration = Duration::from_secs(60);

/// What is needed to open the file again.
pub(super) struct Recovery {
    pub(super) options: Options,
    /// When that was last done.
    pub(super) done: Option<Instant>,
}

impl Writer {
    /// Opens the file again, or stops the store; gives what to answer to those who wait.
    pub(super) fn recover(&mut self, failure: StoreError) -> StoreError {
        let acknowledged = *self.latest.borrow();
        let full = full_disk(&failure);
        self.shared.suspend(failure.clone());
        self.shared.notice(if full.is_some() { Incident::Full } else { Incident::Failed });
        match self.reopen(&failure, full.is_some(), acknowledged) {
            Ok(revision) => {
                tracing::warn!(%revision, "the store was opened again");
                self.latest.send_if_modified(|latest| std::mem::replace(latest, revision) != revision);
                match full {
                    Some(reason) => {
                        self.space.exhaust(reason.clone());
                        self.sweeps = true;
                        // Only then is it certain that nothing was done.
                        if revision == acknowledged { StoreError::Full { reason } } else { failure }
                    }
                    None => failure,
                }
            }
            Err(stopped) => {
                let stopped = StoreError::Unavailable(Arc::new(stopped));
                self.shared.fail(stopped.clone());
                stopped
            }
        }
    }

    fn reopen(&mut self, failure: &StoreError, full: bool, acknowledged: Revision) -> Result<Revision, Stopped> {
        let (path, cause) = (self.path(), cause(failure));
        tracing::error!("{} failed, opening it again: {cause}", path.display());
        if !full && let Some(after) = self.recovery.done.map(|done| done.elapsed()).filter(|after| *after < TRIAL) {
            return Err(Stopped::Again { path, cause, after });
        }
        let not_reopened = |source| Stopped::NotReopened { path: path.clone(), cause: cause.clone(), source };
        let database = open::reopen(&self.recovery.options).map_err(not_reopened)?;
        let found = self.guarded(|writer| writer.shared.resume(database)).map_err(not_reopened)?;
        if found < acknowledged {
            return Err(Stopped::Lost { path, cause, acknowledged, found });
        }
        self.guarded(|writer| writer.shared.reveal()).map_err(not_reopened)?;
        if !full {
            self.recovery.done = Some(Instant::now());
        }
        Ok(found)
    }

    fn guarded<T>(&self, step: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, open::OpenError> {
        let done = catch_unwind(AssertUnwindSafe(|| step(self))).unwrap_or_else(|panic| Err(panicked(&*panic)));
        done.map_err(|error| open::unusable(&self.path(), error))
    }

    fn path(&self) -> PathBuf {
        self.recovery.options.dir.join(DATA_FILE)
    }
}

/// The error without the words around it.
fn cause(failure: &StoreError) -> String {
    match failure {
        StoreError::Unavailable(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// What the operating system says, if it is that there is no space.
fn full_disk(failure: &StoreError) -> Option<String> {
    let StoreError::Unavailable(source) = failure else { return None };
    match source.downcast_ref::<redb::Error>() {
        Some(redb::Error::Io(error)) if is_about_space(error) => Some(error.to_string()),
        _ => None,
    }
}

fn is_about_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}
