//! Backups of an open store, each from one snapshot.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use redb::ReadableTable;

use crate::store::archive::{ArchiveWriter, MAX_GAPS};
use crate::store::{ArchiveHead, ArchiveSummary, Backup, BackupError, MissingEntry, StoreError};

use super::error::store_error;
use super::handle::Handle;
use super::layout::{CURRENT, Latest};
use super::read::{Snapshot, decode_key, decode_latest, live};

/// Creates backups of an open store, without a lock. Does not keep the store open.
#[derive(Clone)]
pub struct Backups {
    pub(super) handle: Arc<Handle>,
}

impl Backup for Backups {
    fn write(&self, out: &mut dyn Write) -> Result<ArchiveSummary, BackupError> {
        let written = self.handle.read(|snapshot| match self.copy(snapshot, out) {
            Ok(summary) => Ok(Ok(summary)),
            Err(BackupError::Output(error)) => Ok(Err(error)),
            Err(BackupError::Store(error)) => Err(error),
        });
        Ok(written??)
    }
}

impl Backups {
    fn copy(
        &self,
        snapshot: &Snapshot,
        out: &mut dyn Write,
    ) -> Result<ArchiveSummary, BackupError> {
        let revision = snapshot.revision();
        let mut archive =
            ArchiveWriter::begin(out, ArchiveHead { revision, taken: SystemTime::now() })?;
        match entries(snapshot, &mut archive) {
            Ok(gaps) => {
                gaps.iter().for_each(|gap| self.handle.record_damage(&gap.key, gap.revision));
                Ok(archive.finish(revision, &gaps)?)
            }
            Err(BackupError::Store(error)) => {
                archive.fail(&error.to_string())?;
                Err(error.into())
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes all readable entries. Returns the damaged ones.
fn entries(
    snapshot: &Snapshot,
    archive: &mut ArchiveWriter<impl Write>,
) -> Result<Vec<MissingEntry>, BackupError> {
    let versions = snapshot.table(CURRENT)?;
    let mut gaps = Vec::new();
    for row in versions.iter().map_err(store_error)? {
        let (key, row) = row.map_err(store_error)?;
        let Latest { version, charge } = decode_latest(key.value(), row.value())?;
        let Some(at) = live(version) else { continue };
        let (key, account) = (decode_key(key.value())?, charge.map(|charge| charge.account));
        match snapshot.values().entry(&key, at) {
            Ok(entry) => archive.entry(&entry, at.sub, account.as_ref())?,
            Err(StoreError::Damaged { key, revision }) if gaps.len() < MAX_GAPS => {
                gaps.push(MissingEntry { key, revision });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(gaps)
}
