//! Making a store of a backup, in a folder that has none. The data file comes into being under another name and is put in
//! place only when the backup has been read to its verified end and everything written has been read back.
//!
//! *Revisions.* Clients of the old store may have seen any revision that it handed out after the backup was taken. A
//! restored store must begin above all of these, or a client would be taken for up to date, or for ahead, and miss
//! changes for good. Entries keep the revisions that wrote them; everything up to the new beginning counts as compacted,
//! so that whoever comes with a revision of the old store is told to list again. See [`beginning`].

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redb::{Builder, Database, Table};

use crate::store::Revision;

use super::archive::{ArchiveError, ArchiveReader, Head, REVISION_LIMIT, Summary};
use super::error::OpenError;
use super::examine::{Examination, look};
use super::layout::{CHECK, CURRENT, Kind, Position, VALUES, Version, encode_value};
use super::lock::Patience;
use super::open::{self, DATA_FILE, Options};
use super::shared::fault;

/// How many bytes of values share one transaction.
const BATCH_BYTES: usize = 4 << 20;

/// Where a backup goes, and what is known beside it.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The folder, made if it is missing.
    pub dir: PathBuf,
    /// The present time.
    pub now: SystemTime,
    /// A revision that clients are known to have seen, if it may be higher than what follows from the backup.
    pub seen: Revision,
}

/// What has been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup held.
    pub backup: Summary,
    /// Where the new store begins; everything below counts as compacted.
    pub begins: Revision,
}

/// Why a backup was not restored. There is no store then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a store already.
    #[error(
        "{} is there already: a backup is restored into a folder without a store only; move the file away, or name another \
         folder",
        path.display()
    )]
    Occupied {
        /// The data file.
        path: PathBuf,
    },
    /// The backup cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// What was written cannot be read back as it was.
    #[error("{} cannot be read back as it was written: {fault}; check the disk", dir.display())]
    NotReadBack {
        /// The folder.
        dir: PathBuf,
        /// What was found.
        fault: String,
    },
    /// There are no revisions left above what clients have seen.
    #[error("revision {after} leaves no room to count on")]
    Exhausted {
        /// What the store would have to begin after.
        after: Revision,
    },
}

/// Where a store must begin that is made of a backup, so that no client has seen anything at or above it.
///
/// A store begins at [`super::first_revision`] of the time when it was made, 2^20 for each second, and takes one for
/// each commit. While the clock is right and there are fewer than a million commits a second, it stays below the first
/// revision of any later time; so that of the present time is above everything that it can have handed out.
///
/// Where the clock was ahead when the old store was made, its revisions are ahead too. Then its commits since the backup
/// are counted from the backup's revision: 2^20 for each second that has passed, and 2^32 more in case the clock was set
/// back in between, which at the highest rate ever measured are the commits of a week. A store that is younger than an
/// hour is ahead of the clock for so long after a restore; nothing but a store that is made anew in that hour, without
/// the backup, could begin below it.
pub fn beginning(backup: Head, now: SystemTime, seen: Revision) -> Revision {
    const LEEWAY: u64 = 1 << 32;
    let since = now.duration_since(backup.taken).unwrap_or(Duration::ZERO).as_secs();
    let commits = since.saturating_mul(1 << 20).saturating_add(LEEWAY);
    let after_backup = Revision(backup.revision.0.saturating_add(commits));
    let after_seen = Revision(seen.0.saturating_add(1));
    open::first_revision(now).max(after_backup).max(after_seen)
}

/// Makes a store of a backup. Blocks.
///
/// # Errors
/// Anything at all that is not as it must be; then there is no store.
pub fn restore<R: Read>(archive: ArchiveReader<R>, options: &Restore) -> Result<Restored, RestoreError> {
    let Restore { dir, now, seen } = options;
    let begins = beginning(archive.head(), *now, *seen);
    if begins.0 >= REVISION_LIMIT {
        return Err(RestoreError::Exhausted { after: begins });
    }
    let lock = open::take(dir, &mut Patience::new(dir, Duration::ZERO))?;
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

/// Writes a new data file. The archive has been verified when this returns.
fn write<R: Read>(mut archive: ArchiveReader<R>, new: &Path, begins: Revision) -> Result<Summary, RestoreError> {
    let failed = |error: redb::Error| RestoreError::Folder(open::unwritable(new, fault(error)));
    open::initialise(new, begins).map_err(failed)?;
    let database = Builder::new().set_cache_size(16 << 20).open(new).map_err(|error| failed(error.into()))?;
    while batch(&database, &mut archive, new)? == Batch::More {}
    database.close().map_err(|error| failed(error.into()))?;
    Ok(archive.summary().expect("an archive without errors comes to its end"))
}

/// Whether an archive has more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    More,
    Last,
}

fn batch<R: Read>(database: &Database, archive: &mut ArchiveReader<R>, new: &Path) -> Result<Batch, RestoreError> {
    let failed = |error: redb::Error| RestoreError::Folder(open::unwritable(new, fault(error)));
    let txn = database.begin_write().map_err(|error| failed(error.into()))?;
    let mut read = 0;
    let mut state = Batch::More;
    {
        let mut values = txn.open_table(VALUES).map_err(|error| failed(error.into()))?;
        let mut current = txn.open_table(CURRENT).map_err(|error| failed(error.into()))?;
        while read < BATCH_BYTES {
            let Some(next) = archive.next_placed() else {
                state = Batch::Last;
                break;
            };
            let (entry, at) = next?;
            let key = entry.key.as_str().as_bytes();
            read += entry.value.len() + key.len();
            put(&mut values, &mut current, key, at, &entry.value).map_err(failed)?;
        }
    }
    txn.commit().map_err(|error| failed(error.into()))?;
    Ok(state)
}

fn put(
    values: &mut Table<'_, &'static [u8; Position::BYTES], &'static [u8]>,
    current: &mut Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    at: Position,
    value: &[u8],
) -> Result<(), redb::Error> {
    let mut row = values.insert_reserve(&at.encode(), value.len() + CHECK)?;
    encode_value(key, at, value, row.as_mut());
    drop(row);
    current.insert(key, &Version { at, kind: Kind::Value }.encode(key)[..])?;
    Ok(())
}

/// Reads everything back.
fn verify(new: &Path, written: &Summary, begins: Revision, dir: &Path) -> Result<(), RestoreError> {
    let options = Options::new(dir);
    let mut database = open::open_database(new, &options, &mut Patience::new(dir, Duration::ZERO))?;
    let Examination { revision, compacted, keys, faults, .. } = look(&mut database);
    let fault = match faults.told.into_iter().next() {
        Some(fault) => fault,
        None if keys != written.entries => format!("{keys} keys are there, not {}", written.entries),
        None if revision != begins || compacted != begins => format!("it begins at revision {compacted}, not {begins}"),
        None => return Ok(()),
    };
    Err(RestoreError::NotReadBack { dir: dir.to_owned(), fault })
}
