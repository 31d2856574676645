//! Opening a folder: makes a new store, or looks closely at what is there before redb may touch it.
//!
//! A new store is made under another name and put in place whole, so a crash leaves either none or a good one. A file
//! that is there is only ever opened, never initialised.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::{Builder, Database, DatabaseError, StorageError};

use crate::store::{Revision, StoreError};

use super::backend::{Backend, FileBackend, Opener};
pub(super) use super::error::OpenError;
use super::incident::Observer;
use super::layout::{
    CURRENT, FORMAT, HISTORY, LOG, META, META_COMPACTED, META_CURRENT, META_FORMAT, VALUES, encode_number,
};
use super::lock::{self, Patience};
use super::private;
use super::read::{Snapshot, number};
use super::shared::{fault, panicked};
use super::space::Reserve;

/// The data file in the folder.
pub const DATA_FILE: &str = "store.redb";
/// Where a new store is made. Whatever stands there is left over from a crash.
const NEW_FILE: &str = "store.redb.new";
/// The first bytes of every file of redb.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// How long a file that this process has just closed may seem to be in use.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

/// What [`super::Embedded::open`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder, made if it is missing.
    pub dir: PathBuf,
    /// How long to wait for another process to leave the folder.
    pub lock_timeout: Duration,
    /// The page cache. More than 16 MiB makes nothing faster.
    pub cache_bytes: usize,
    /// Where a new store begins counting; no meaning for one that exists. See [`first_revision`].
    pub first_revision: Revision,
    /// The space to leave free; `None` to let the file system run full, which costs reopening the file.
    pub reserve: Option<Reserve>,
    /// How the data file is opened.
    pub opener: Opener,
    /// Who is told of what should not happen.
    pub observer: Observer,
}

impl Options {
    /// Usual options for a folder: 30 s, 16 MiB, the present time, no reserve, the file itself, nobody.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            lock_timeout: Duration::from_secs(30),
            cache_bytes: 16 << 20,
            first_revision: first_revision(SystemTime::now()),
            reserve: None,
            opener: Opener::default(),
            observer: Observer::default(),
        }
    }
}

/// The first revision of a store made at this time: the seconds since 2020, times 2^20.
///
/// A store that replaces a lost one thereby begins above everything the lost one handed out, as long as that took less
/// than a million commits a second. Clients with an old revision are told `Compacted` and list again, instead of being
/// taken for up to date.
pub fn first_revision(now: SystemTime) -> Revision {
    const SECONDS_TO_2020: u64 = 1_577_836_800;
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Revision(seconds.saturating_sub(SECONDS_TO_2020).max(1) << 20)
}

/// The database together with the lock on its folder.
pub(super) struct Open {
    pub(super) database: Database,
    pub(super) lock: File,
}

/// Takes the folder and opens its data file, which it makes if there is none. Blocks.
pub(super) fn open(options: &Options) -> Result<Open, OpenError> {
    let dir = &options.dir;
    let mut patience = Patience::new(dir, options.lock_timeout);
    let lock = take(dir, &mut patience)?;
    if !holds_data(dir)? {
        create(dir, options)?;
    }
    let path = dir.join(DATA_FILE);
    let database = open_database(&path, options, &mut patience)?;
    close_to_others(&path);
    Ok(Open { database, lock })
}

/// Takes the permissions of others on a data file that was made or copied with some. A store that
/// is open is worth more than a failure of that.
fn close_to_others(path: &Path) {
    if let Err(why) = private::tighten_at(path) {
        tracing::warn!(path = %path.display(), %why, "other users may be able to read the data file: chmod it to 600");
    }
}

/// The same for a folder that must hold a store. Makes nothing, no folder either.
pub(super) fn open_existing(options: &Options) -> Result<Open, OpenError> {
    if holds_data(&options.dir)? {
        return open(options);
    }
    Err(OpenError::Missing { path: options.dir.join(DATA_FILE) })
}

/// Takes the folder, which is made if it is missing. Blocks.
pub(super) fn take(dir: &Path, patience: &mut Patience) -> Result<File, OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(not_writable(dir))?;
    lock::take(dir, patience)
}

/// Whether there is a data file, whatever is in it.
pub(super) fn holds_data(dir: &Path) -> Result<bool, OpenError> {
    let path = dir.join(DATA_FILE);
    path.try_exists().map_err(|source| OpenError::NotReadable { path: path.clone(), source })
}

/// Opens the data file of a folder that is held already. It must be there. Blocks.
pub(super) fn reopen(options: &Options) -> Result<Database, OpenError> {
    let mut patience = Patience::new(&options.dir, REOPEN_PATIENCE);
    open_database(&options.dir.join(DATA_FILE), options, &mut patience)
}

fn create(dir: &Path, options: &Options) -> Result<(), OpenError> {
    put_in_place(dir, |new| {
        initialise(new, options.first_revision).map_err(|error| not_writable(new)(io::Error::other(error)))
    })
}

/// Makes a data file in a folder that is held already: whole and durable, or not at all. Blocks.
pub(super) fn put_in_place<T, E: From<OpenError>>(
    dir: &Path,
    make: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let new = dir.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(not_writable(&new)(error).into()),
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

/// Makes a data file with nothing in it.
pub(super) fn initialise(path: &Path, first: Revision) -> Result<(), redb::Error> {
    let file = FileBackend::new(private::create_new(path)?)?;
    let database = Builder::new().set_cache_size(1 << 20).create_with_backend(file)?;
    let txn = database.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        let numbers = [(META_FORMAT, FORMAT), (META_CURRENT, first.0), (META_COMPACTED, first.0)];
        for (name, number) in numbers {
            meta.insert(name, &encode_number(name, number)[..])?;
        }
        txn.open_table(LOG)?;
        txn.open_table(VALUES)?;
        txn.open_table(CURRENT)?;
        txn.open_table(HISTORY)?;
    }
    txn.commit()?;
    Ok(database.close()?)
}

/// Opens the file, refusing what redb would initialise or has never written.
fn open_file(path: &Path, opener: &Opener) -> Result<Backend, OpenError> {
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
        MAGIC => Ok(Backend(file)),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Opens a data file of a folder that is held already. Blocks.
pub(super) fn open_database(path: &Path, options: &Options, patience: &mut Patience) -> Result<Database, OpenError> {
    loop {
        let file = open_file(path, &options.opener)?;
        // redb trusts a file that was closed cleanly, and may panic when that is damaged.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let repairing = path.to_owned();
            Builder::new()
                .set_cache_size(options.cache_bytes)
                .set_repair_callback(move |session| {
                    tracing::warn!("repairing {}, {:.0} % done", repairing.display(), session.progress() * 100.0);
                })
                .create_with_backend(file)
        }));
        match opened {
            Ok(Ok(database)) => return check_format(path, database),
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => patience.wait()?,
            Ok(Err(DatabaseError::Storage(StorageError::Io(source)))) if is_about_writing(&source) => {
                return Err(OpenError::NotWritable { path: path.to_owned(), source });
            }
            Ok(Err(DatabaseError::Storage(StorageError::Io(source)))) if !is_about_content(&source) => {
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

/// Whether the file is at fault, not the disk under it.
fn is_about_content(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput)
}

/// Hands the database back if its tables are ours and in a format that this version reads. Closes it otherwise, also
/// under the guard against panics.
fn check_format(path: &Path, database: Database) -> Result<Database, OpenError> {
    let checked = catch_unwind(AssertUnwindSafe(|| match read_format(&database) {
        Ok(Some(FORMAT)) => Ok(database),
        Ok(Some(found)) => Err(OpenError::Newer { path: path.to_owned(), found, supported: FORMAT }),
        Ok(None) => Err(OpenError::Foreign { path: path.to_owned() }),
        Err(error) => Err(unusable(path, error)),
    }));
    checked.unwrap_or_else(|panic| Err(corrupt(path, panicked(&*panic))))
}

/// The format of the file; `None` when it is a database of some other program.
fn read_format(database: &Database) -> Result<Option<u64>, StoreError> {
    let txn = redb::ReadableDatabase::begin_read(database).map_err(fault)?;
    let meta = match txn.open_table(META) {
        Err(redb::TableError::Storage(error)) => return Err(fault(error)),
        Err(_) => return Ok(None),
        Ok(meta) => meta,
    };
    let format = number(&meta, META_FORMAT)?;
    if format == FORMAT {
        let snapshot = Snapshot::new(txn)?;
        snapshot.table(LOG)?;
        snapshot.table(HISTORY)?;
        snapshot.compacted()?;
    }
    Ok(Some(format))
}

/// What a failure to read a file that redb could open says of the file.
pub(super) fn unusable(path: &Path, error: StoreError) -> OpenError {
    if let StoreError::Unavailable(source) = &error
        && let Some(redb::Error::Io(source)) = source.downcast_ref::<redb::Error>()
        && !is_about_content(source)
    {
        return OpenError::NotReadable { path: path.to_owned(), source: io::Error::new(source.kind(), error) };
    }
    corrupt(path, error)
}

/// The same where the file was being written.
pub(super) fn unwritable(path: &Path, error: StoreError) -> OpenError {
    match unusable(path, error) {
        OpenError::NotReadable { path, source } => OpenError::NotWritable { path, source },
        other => other,
    }
}

fn corrupt(path: &Path, reason: impl std::fmt::Display) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason: reason.to_string() }
}
