//! Backups of an open store, each from one snapshot.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use redb::ReadableTable;

use crate::store::archive::ArchiveWriter;
use crate::store::{ArchiveHead, ArchiveSummary, Backup, BackupError};

use super::error::store_error;
use super::handle::Handle;
use super::layout::{CURRENT, Latest, VALUES};
use super::read::{Snapshot, decode_key, decode_latest, entry, live};

/// Creates backups of an open store, without a lock. Does not keep the store open.
#[derive(Clone)]
pub struct Backups {
    pub(super) handle: Arc<Handle>,
}

impl Backup for Backups {
    fn write(&self, out: &mut dyn Write) -> Result<ArchiveSummary, BackupError> {
        let written = self.handle.read(|snapshot| match copy(snapshot, out) {
            Ok(summary) => Ok(Ok(summary)),
            Err(BackupError::Output(error)) => Ok(Err(error)),
            Err(BackupError::Store(error)) => Err(error),
        });
        Ok(written??)
    }
}

fn copy(snapshot: &Snapshot, out: &mut dyn Write) -> Result<ArchiveSummary, BackupError> {
    let revision = snapshot.revision();
    let mut archive =
        ArchiveWriter::begin(out, ArchiveHead { revision, taken: SystemTime::now() })?;
    match entries(snapshot, &mut archive) {
        Ok(()) => {
            let (bytes, entries) = archive.end()?;
            Ok(ArchiveSummary { revision, entries, bytes })
        }
        Err(BackupError::Store(error)) => {
            archive.fail(&error.to_string())?;
            Err(error.into())
        }
        Err(error) => Err(error),
    }
}

fn entries(
    snapshot: &Snapshot,
    archive: &mut ArchiveWriter<impl Write>,
) -> Result<(), BackupError> {
    let (versions, values) = (snapshot.table(CURRENT)?, snapshot.table(VALUES)?);
    for row in versions.iter().map_err(store_error)? {
        let (key, row) = row.map_err(store_error)?;
        let Latest { version, charge } = decode_latest(key.value(), row.value())?;
        if let Some(at) = live(version) {
            let (key, account) = (decode_key(key.value())?, charge.map(|charge| charge.account));
            archive.entry(&entry(&values, &key, at)?, at.sub, account.as_ref())?;
        }
    }
    Ok(())
}
