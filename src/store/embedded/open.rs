//! Opening a folder: creates a new store, or validates the existing file before redb may touch it.
//!
//! A new store is created under another name and renamed when it is complete, so a crash leaves
//! either none or a valid one. An existing file is never initialised.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use redb::{Builder, Database, DatabaseError, StorageError};

use crate::store::private_file;
use crate::store::{OpenError, Revision, StoreError};

use super::backend::{FileBackend, FileOpener, Layered, StorageBackend};
use super::copy_on_write::is_read_only;
use super::error::{panicked, store_error};
use super::layout::{
    ACCOUNTS, CURRENT, DELTAS, FORMAT, FORMAT_WITHOUT_ACCOUNTS, FORMAT_WITHOUT_COMPRESSION,
    FORMAT_WITHOUT_DELTAS, FORMAT_WITHOUT_DICTIONARY, HISTORY, LOG, META, META_COMPACTED,
    META_CURRENT, META_FORMAT, META_REUSABLE, PACKED, VALUES, encode_number,
};
use super::lock::{self, LockWait};
use super::options::{DATA_FILE, Options};
use super::read::{Snapshot, number};

/// Name of a new store until it is complete. An existing one is left over from a crash.
const NEW_FILE: &str = "store.redb.new";
/// The first bytes of every file of redb.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// The formats that opening converts.
const EARLIER_FORMATS: [u64; 4] = [
    FORMAT_WITHOUT_ACCOUNTS,
    FORMAT_WITHOUT_DELTAS,
    FORMAT_WITHOUT_COMPRESSION,
    FORMAT_WITHOUT_DICTIONARY,
];
/// The longest wait for the lock on a file that this process has just closed.
const REOPEN_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The database together with the lock on its folder.
pub(super) struct Open {
    pub(super) database: Database,
    /// The lock on the folder; `None` in memory.
    pub(super) lock: Option<File>,
}

/// Locks the folder and opens its data file, which is created if it is missing. Blocks.
pub(super) fn open(options: &Options) -> Result<Open, OpenError> {
    let dir = &options.dir;
    let mut lock_wait = LockWait::new(dir, options.lock_timeout);
    let lock = take(dir, &mut lock_wait)?;
    if !holds_data(dir)? {
        create(dir, options)?;
    }
    let path = options.data_file();
    let database = open_database(&path, options, &mut lock_wait)?;
    close_to_others(&path);
    Ok(Open { database, lock: Some(lock) })
}

/// Removes the permissions of other users on the data file, which it has after a copy for instance.
/// An error is logged only: the store is open.
fn close_to_others(path: &Path) {
    if let Err(why) = private_file::tighten_at(path) {
        tracing::warn!(path = %path.display(), %why, "other users may be able to read the data file: chmod it to 600");
    }
}

/// Opens the store of a folder as [`open`] does, but creates neither a store nor a folder.
pub(super) fn open_existing(options: &Options) -> Result<Open, OpenError> {
    if holds_data(&options.dir)? {
        return open(options);
    }
    Err(OpenError::Missing { path: options.data_file() })
}

/// Locks the folder, which is created if it is missing. Blocks.
pub(super) fn take(dir: &Path, lock_wait: &mut LockWait) -> Result<File, OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(not_writable(dir))?;
    lock::take(dir, lock_wait)
}

/// Returns true if the folder has a data file, valid or not.
pub(super) fn holds_data(dir: &Path) -> Result<bool, OpenError> {
    let path = dir.join(DATA_FILE);
    path.try_exists().map_err(|source| OpenError::NotReadable { path: path.clone(), source })
}

/// Opens the existing data file of a folder that is locked already. Blocks.
pub(super) fn reopen(options: &Options) -> Result<Database, OpenError> {
    let mut lock_wait = LockWait::new(&options.dir, REOPEN_LOCK_TIMEOUT);
    open_database(&options.data_file(), options, &mut lock_wait)
}

fn create(dir: &Path, options: &Options) -> Result<(), OpenError> {
    put_in_place(dir, |new| {
        initialise(new, options.first_revision)
            .map_err(|error| not_writable(new)(io::Error::other(error)))
    })
}

/// Creates the data file of a folder that is locked already. It appears under its name once it is
/// complete and durable. Blocks.
pub(super) fn put_in_place<T, E: From<OpenError>>(
    dir: &Path,
    make: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let new = dir.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(not_writable(&new)(error).into());
        }
        _ => {}
    }
    let made = make(&new).inspect_err(|_| drop(fs::remove_file(&new)))?;
    let placed = File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&new, dir.join(DATA_FILE)))
        .and_then(|()| File::open(dir)?.sync_all());
    placed.map_err(not_writable(&new))?;
    Ok(made)
}

fn not_writable(path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::NotWritable { path: path.clone(), source }
}

/// Creates an empty data file.
pub(super) fn initialise(path: &Path, first: Revision) -> Result<(), redb::Error> {
    initialise_backend(FileBackend::new(private_file::create_new(path)?)?, first)
}

/// Writes an empty store to an empty backend.
pub(super) fn initialise_backend(
    backend: impl StorageBackend,
    first: Revision,
) -> Result<(), redb::Error> {
    let database = Builder::new().set_cache_size(1 << 20).create_with_backend(backend)?;
    let txn = database.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        for (name, number) in [
            (META_FORMAT, FORMAT),
            (META_CURRENT, first.0),
            (META_COMPACTED, first.0),
            (META_REUSABLE, 0),
        ] {
            meta.insert(name, &encode_number(name, number)[..])?;
        }
        txn.open_table(LOG)?;
        txn.open_table(PACKED)?;
        txn.open_table(VALUES)?;
        txn.open_table(DELTAS)?;
        txn.open_table(CURRENT)?;
        txn.open_table(HISTORY)?;
        txn.open_table(ACCOUNTS)?;
    }
    txn.commit()?;
    Ok(database.close()?)
}

/// Opens the file. Rejects a file that redb would initialise, or that redb has not written.
fn open_file(
    path: &Path,
    opener: &FileOpener,
) -> Result<Layered<Box<dyn StorageBackend>>, OpenError> {
    let unusable = |source: io::Error| {
        let path = path.to_owned();
        if is_about_writing(&source) {
            OpenError::NotWritable { path, source }
        } else {
            OpenError::NotReadable { path, source }
        }
    };
    let file = (opener.0)(path).map_err(unusable)?;
    let mut start = [0; MAGIC.len()];
    let length = file.len().map_err(unusable)?;
    if length >= start.len() as u64 {
        file.read(0, &mut start).map_err(unusable)?;
    }
    match start {
        _ if length == 0 => Err(OpenError::Empty { path: path.to_owned() }),
        MAGIC => Ok(Layered(file)),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Opens a data file of a folder that is locked already. Blocks.
pub(super) fn open_database(
    path: &Path,
    options: &Options,
    lock_wait: &mut LockWait,
) -> Result<Database, OpenError> {
    check_format(path, open_any_format(path, options, lock_wait)?)
}

/// Opens the store of a folder, which may be on a read-only volume, through an opener that writes
/// nothing.
pub(super) fn open_read_only(options: &Options) -> Result<Open, OpenError> {
    let Open { database, lock } = open_damaged(options)?;
    let database = check_format(&options.data_file(), database)?;
    Ok(Open { database, lock })
}

/// Opens the data file of a folder as [`open_read_only`] does, but does not read its format, which
/// may be damaged.
pub(super) fn open_damaged(options: &Options) -> Result<Open, OpenError> {
    let (dir, path) = (&options.dir, options.data_file());
    if !holds_data(dir)? {
        return Err(OpenError::Missing { path });
    }
    let mut lock_wait = LockWait::new(dir, options.lock_timeout);
    let lock = match lock::take(dir, &mut lock_wait) {
        Err(OpenError::NotWritable { source, .. }) if is_read_only(&source) => {
            lock::take_existing(dir, &mut lock_wait)?
        }
        taken => Some(taken?),
    };
    let database = open_any_format(&path, options, &mut lock_wait)?;
    Ok(Open { database, lock })
}

fn open_any_format(
    path: &Path,
    options: &Options,
    lock_wait: &mut LockWait,
) -> Result<Database, OpenError> {
    loop {
        let file = open_file(path, &options.opener)?;
        // redb trusts a file that was closed cleanly, and may panic when that is damaged.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let repairing = path.to_owned();
            Builder::new()
                .set_cache_size(options.cache_bytes)
                .set_repair_callback(move |session| {
                    let percent = (session.progress() * 100.0).round();
                    tracing::warn!(path = %repairing.display(), percent, "repairing the data file");
                })
                .create_with_backend(file)
        }));
        match opened {
            Ok(Ok(database)) => return Ok(database),
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => lock_wait.wait()?,
            Ok(Err(DatabaseError::Storage(StorageError::Io(source))))
                if is_about_writing(&source) =>
            {
                return Err(OpenError::NotWritable { path: path.to_owned(), source });
            }
            Ok(Err(DatabaseError::Storage(StorageError::Io(source))))
                if !is_about_content(&source) =>
            {
                return Err(OpenError::NotReadable { path: path.to_owned(), source });
            }
            Ok(Err(error)) => return Err(corrupt(path, error)),
            Err(panic) => return Err(corrupt(path, panicked(&*panic))),
        }
    }
}

fn is_about_writing(error: &io::Error) -> bool {
    use ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded)
}

/// Returns true for an error of the content of the file, not of the disk.
fn is_about_content(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput
    )
}

/// Returns the database if its format is supported, converted to the current one. Closes it
/// otherwise, where a panic is caught too.
fn check_format(path: &Path, database: Database) -> Result<Database, OpenError> {
    let checked = catch_unwind(AssertUnwindSafe(|| match read_format(&database) {
        Ok(Some(FORMAT)) => Ok(database),
        Ok(Some(found)) if EARLIER_FORMATS.contains(&found) => match upgrade(&database, found) {
            Ok(()) => Ok(database),
            Err(error) => Err(unwritable(path, store_error(error))),
        },
        Ok(Some(found)) => {
            Err(OpenError::Newer { path: path.to_owned(), found, supported: FORMAT })
        }
        Ok(None) => Err(OpenError::Foreign { path: path.to_owned() }),
        Err(error) => Err(unusable(path, error)),
    }));
    checked.unwrap_or_else(|panic| Err(corrupt(path, panicked(&*panic))))
}

/// Converts a file of an earlier format, in one transaction. Rows from before accounts belong to no
/// account, and values from before compression are moved later, see [`super::repack`].
fn upgrade(database: &Database, found: u64) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(true);
    txn.open_table(DELTAS)?;
    txn.open_table(PACKED)?;
    {
        let mut meta = txn.open_table(META)?;
        if found == FORMAT_WITHOUT_ACCOUNTS {
            txn.open_table(ACCOUNTS)?;
            meta.insert(META_REUSABLE, &encode_number(META_REUSABLE, 0)[..])?;
        }
        meta.insert(META_FORMAT, &encode_number(META_FORMAT, FORMAT)[..])?;
    }
    Ok(txn.commit()?)
}

/// The format of the file; `None` for a database of another program.
fn read_format(database: &Database) -> Result<Option<u64>, StoreError> {
    let txn = redb::ReadableDatabase::begin_read(database).map_err(store_error)?;
    let meta = match txn.open_table(META) {
        Err(redb::TableError::Storage(error)) => return Err(store_error(error)),
        Err(_) => return Ok(None),
        Ok(meta) => meta,
    };
    let format = number(&meta, META_FORMAT)?;
    if format == FORMAT || EARLIER_FORMATS.contains(&format) {
        let snapshot = Snapshot::new(txn)?;
        snapshot.table(LOG)?;
        snapshot.table(HISTORY)?;
        snapshot.compacted()?;
    }
    Ok(Some(format))
}

/// The error of opening for a failed read of a file that redb has opened.
pub(super) fn unusable(path: &Path, error: StoreError) -> OpenError {
    if let StoreError::Unavailable(source) = &error
        && let Some(redb::Error::Io(source)) = source.downcast_ref::<redb::Error>()
        && !is_about_content(source)
    {
        return OpenError::NotReadable {
            path: path.to_owned(),
            source: io::Error::new(source.kind(), error),
        };
    }
    corrupt(path, error)
}

/// The error of opening for a failed write.
pub(super) fn unwritable(path: &Path, error: StoreError) -> OpenError {
    match unusable(path, error) {
        OpenError::NotReadable { path, source } => OpenError::NotWritable { path, source },
        other => other,
    }
}

fn corrupt(path: &Path, reason: impl std::fmt::Display) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason: reason.to_string() }
}
