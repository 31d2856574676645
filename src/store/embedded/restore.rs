//! Restore: creates a store from a backup, in a folder without one. The data file has another name
//! until the backup was read to its verified end and the file was read back.
//!
//! *Revisions.* Clients of the old store may have seen any revision that it assigned after the
//! backup. A restored store must begin above all of them, or a client would seem up to date, or
//! ahead, and miss changes for good. Entries keep the revisions that wrote them. Everything up to
//! the first revision counts as compacted, so a client with a revision of the old store lists
//! again. See [`beginning`].

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use redb::{Builder, Database, Table};

use crate::store::archive::{ArchiveEntry, REVISION_LIMIT};
use crate::store::{
    Account, AccountUsage, ArchiveHead, ArchiveReader, ArchiveSummary, FsckReport, RestoreError,
    RestoreOptions, Restored, Revision,
};

use super::error::store_error;
use super::fsck;
use super::layout::{
    ACCOUNTS, CURRENT, Kind, Latest, PACKED, Position, RowCharge, Version, encode_usage,
};
use super::lock::LockWait;
use super::open;
use super::options::{DATA_FILE, Options, first_revision};
use super::packed;

/// Bytes of values in one transaction.
const BATCH_BYTES: usize = 4 << 20;

/// The first revision of a store that is created from a backup, above every revision that a client
/// may have seen.
///
/// A store begins at [`first_revision`] of its creation, 2^20 for each second, and takes one
/// revision for each commit. With a correct clock and fewer than a million commits per second, it
/// stays below the first revision of any later time, so that of the current time is above all
/// its revisions.
///
/// If the clock was ahead when the old store was created, its revisions are ahead too. The commits
/// since the backup are then estimated from its revision: 2^20 for each second since the backup,
/// and 2^32 more in case the clock was set back in between, the commits of a week at the highest
/// rate measured. The restored store may be ahead of the clock for an hour. Only another new store,
/// created within that hour without the backup, could begin below it.
pub fn beginning(backup: ArchiveHead, now: SystemTime, seen: Revision) -> Revision {
    const LEEWAY: u64 = 1 << 32;
    let since = now.duration_since(backup.taken).unwrap_or(Duration::ZERO).as_secs();
    let commits = since.saturating_mul(1 << 20).saturating_add(LEEWAY);
    let after_backup = Revision(backup.revision.0.saturating_add(commits));
    let after_seen = Revision(seen.0.saturating_add(1));
    first_revision(now).max(after_backup).max(after_seen)
}

/// Creates a store from a backup, see [`crate::store::Maintenance::restore`].
pub(super) fn restore<R: Read>(
    archive: ArchiveReader<R>,
    dir: &Path,
    options: RestoreOptions,
) -> Result<Restored, RestoreError> {
    let RestoreOptions { now, seen } = options;
    let begins = beginning(archive.head(), now, seen);
    if begins.0 >= REVISION_LIMIT {
        return Err(RestoreError::Exhausted { after: begins });
    }
    let lock = open::take(dir, &mut LockWait::new(dir, Duration::ZERO))?;
    if open::holds_data(dir)? {
        return Err(RestoreError::Occupied { path: dir.join(DATA_FILE) });
    }
    let backup = open::put_in_place(dir, |new| {
        let written = write(archive, new, begins)?;
        verify(new, &written, begins, dir)?;
        Ok::<_, RestoreError>(written)
    })?;
    drop(lock);
    Ok(Restored { backup, begins })
}

/// Writes a new data file. The archive is verified when this returns.
fn write<R: Read>(
    mut archive: ArchiveReader<R>,
    new: &Path,
    begins: Revision,
) -> Result<ArchiveSummary, RestoreError> {
    let failed =
        |error: redb::Error| RestoreError::Folder(open::unwritable(new, store_error(error)));
    open::initialise(new, begins).map_err(failed)?;
    let database =
        Builder::new().set_cache_size(16 << 20).open(new).map_err(|error| failed(error.into()))?;
    let mut usages = Usages::new();
    while batch(&database, &mut archive, &mut usages, new)? == Batch::More {}
    put_usages(&database, usages).map_err(failed)?;
    database.close().map_err(|error| failed(error.into()))?;
    Ok(archive.summary().expect("an archive without errors comes to its end"))
}

/// The usage of every account in an archive.
type Usages = HashMap<Account, AccountUsage>;

/// The rest of an archive after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    More,
    Last,
}

fn batch<R: Read>(
    database: &Database,
    archive: &mut ArchiveReader<R>,
    usages: &mut Usages,
    new: &Path,
) -> Result<Batch, RestoreError> {
    let failed =
        |error: redb::Error| RestoreError::Folder(open::unwritable(new, store_error(error)));
    let txn = database.begin_write().map_err(|error| failed(error.into()))?;
    let mut read = 0;
    let mut state = Batch::More;
    {
        let mut values = txn.open_table(PACKED).map_err(|error| failed(error.into()))?;
        let mut current = txn.open_table(CURRENT).map_err(|error| failed(error.into()))?;
        while read < BATCH_BYTES {
            let Some(next) = archive.next_entry() else {
                state = Batch::Last;
                break;
            };
            let ArchiveEntry { entry, sub, account } = next?;
            let at = Position { revision: entry.revision, sub };
            let key = entry.key.as_str().as_bytes();
            let bytes = entry.value.len() + key.len();
            read += bytes;
            let charge = account.map(|account| {
                let bytes = u32::try_from(bytes).expect("an archive limits keys and values");
                usages.entry(account.clone()).or_default().current += u64::from(bytes);
                RowCharge { account, bytes }
            });
            let latest = Latest { version: Version { at, kind: Kind::Value }, charge };
            put(&mut values, &mut current, key, &latest, &entry.value).map_err(failed)?;
        }
    }
    txn.commit().map_err(|error| failed(error.into()))?;
    Ok(state)
}

fn put(
    values: &mut Table<'_, &'static [u8; Position::BYTES], &'static [u8]>,
    current: &mut Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    latest: &Latest,
    value: &[u8],
) -> Result<(), redb::Error> {
    let at = latest.version.at;
    values.insert(&at.encode(), &*packed::encode(key, at, value))?;
    let mut row = Vec::new();
    latest.encode(key, &mut row);
    current.insert(key, &*row)?;
    Ok(())
}

fn put_usages(database: &Database, usages: Usages) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    {
        let mut accounts = txn.open_table(ACCOUNTS)?;
        for (account, usage) in usages {
            let account = account.as_str();
            accounts.insert(account, &encode_usage(account, usage)[..])?;
        }
    }
    Ok(txn.commit()?)
}

/// Reads the file back.
fn verify(
    new: &Path,
    written: &ArchiveSummary,
    begins: Revision,
    dir: &Path,
) -> Result<(), RestoreError> {
    let options = Options::new(dir);
    let mut database = open::open_database(new, &options, &mut LockWait::new(dir, Duration::ZERO))?;
    let FsckReport { revision, compacted, keys, problems, .. } = fsck::verify(&mut database);
    let problem = match problems.first.into_iter().next() {
        Some(problem) => problem,
        None if keys != written.entries => {
            format!("{keys} keys are there, not {}", written.entries)
        }
        None if revision != begins || compacted != begins => {
            format!("it begins at revision {compacted}, not {begins}")
        }
        None => return Ok(()),
    };
    Err(RestoreError::NotReadBack { dir: dir.to_owned(), problem })
}
