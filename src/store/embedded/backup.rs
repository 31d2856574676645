//! Making backups of an open store, from one snapshot, while everything else goes on.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use redb::ReadableTable;

use crate::store::StoreError;

use super::archive::{ArchiveWriter, Head, Summary};
use super::layout::{CURRENT, VALUES};
use super::read::{Snapshot, decode_key, decode_version, entry, live};
use super::shared::{Shared, fault};

/// Makes backups of a store, as long as that is open. Does not keep it open.
#[derive(Clone)]
pub struct Backups {
    pub(super) shared: Arc<Shared>,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read to its end. The backup says so itself, where that was possible.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup cannot be written.
    #[error("the backup cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Backups {
    /// Writes all present entries as of the latest commit, verified as they are read. Blocks, on the calling thread.
    ///
    /// Takes no lock and keeps no more in memory than one value. What is replaced meanwhile keeps its space in the file
    /// until this returns, so the output must not stand still for ever.
    ///
    /// # Errors
    /// The store or the output failed. Then what was written has no end, which whoever reads it is told.
    pub fn write(&self, out: impl Write) -> Result<Summary, BackupError> {
        let written = self.shared.read(|snapshot| match copy(snapshot, out) {
            Ok(summary) => Ok(Ok(summary)),
            Err(BackupError::Output(error)) => Ok(Err(error)),
            Err(BackupError::Store(error)) => Err(error),
        });
        Ok(written??)
    }
}

fn copy(snapshot: &Snapshot, out: impl Write) -> Result<Summary, BackupError> {
    let revision = snapshot.revision();
    let mut archive = ArchiveWriter::begin(out, Head { revision, taken: SystemTime::now() })?;
    match entries(snapshot, &mut archive) {
        Ok(()) => {
            let (bytes, entries) = archive.end()?;
            Ok(Summary { revision, entries, bytes })
        }
        Err(BackupError::Store(error)) => {
            archive.fail(&error.to_string())?;
            Err(error.into())
        }
        Err(error) => Err(error),
    }
}

fn entries(snapshot: &Snapshot, archive: &mut ArchiveWriter<impl Write>) -> Result<(), BackupError> {
    let (versions, values) = (snapshot.table(CURRENT)?, snapshot.table(VALUES)?);
    for row in versions.iter().map_err(fault)? {
        let (key, row) = row.map_err(fault)?;
        if let Some(at) = live(decode_version(key.value(), row.value())?) {
            let key = decode_key(key.value())?;
            archive.entry(&key, at, &entry(&values, &key, at)?.value)?;
        }
    }
    Ok(())
}
