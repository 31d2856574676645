//! The ability to back up an open store.

use std::io::{self, Write};

use super::{ArchiveSummary, StoreError};

/// Backs up an open store.
pub trait Backup: Send + Sync + 'static {
    /// Writes every entry as of the latest commit, in the form of [`super::archive`]. Blocks.
    ///
    /// Entries are verified as they are read. Those with damaged values are left out and named at the
    /// end, so that its reader rejects the backup unless it skips them. At most one value is in memory at a time. Space that
    /// is freed meanwhile cannot be reused until this returns, so the output must make progress.
    ///
    /// # Errors
    /// The store cannot be read or the output cannot be written. The output then has no end mark,
    /// so its reader rejects it.
    fn write(&self, out: &mut dyn Write) -> Result<ArchiveSummary, BackupError>;
}

/// An error of [`Backup::write`].
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read. The backup holds the reason if it could be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error("the backup cannot be written: {0}")]
    Output(#[from] io::Error),
}
