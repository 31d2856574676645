//! Salvage: a backup of all that a data file with a damaged structure still reaches.
//!
//! The index is read from its start to the first damage, and from its end back to the last. If the
//! log is whole, it gives the versions of further keys. Values are verified as always. A backup of
//! a salvage lacks all other entries; those whose keys are known are named.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::store::archive::{ArchiveWriter, MAX_GAPS};
use crate::store::{
    Account, ArchiveHead, ArchiveSummary, Backup, BackupError, Entry, Key, MissingEntry, OpenError,
    Revision, StoreError,
};

use super::copy_on_write;
use super::error::{panicked, store_error};
use super::layout::{CURRENT, LOG, Latest, Position, Record, Version};
use super::open::{self, Open};
use super::options::Options;
use super::read::{decode_key, decode_latest, live};
use super::values::Values;

/// A data file with a damaged structure, opened without changing it.
pub(super) struct Salvage(Open);

/// The version of a key that the file reaches.
enum Reached {
    /// The version, and the account that the key belongs to.
    Version(Version, Option<Account>),
    /// The row of the index is damaged.
    Damaged,
}

/// The keys that the file reaches.
#[derive(Default)]
struct Keys(BTreeMap<Key, Reached>);

impl Salvage {
    /// Opens the data file. If its latest commit cannot be opened, opens the one before.
    ///
    /// # Errors
    /// redb cannot open the file at all.
    pub(super) fn open(options: &Options) -> Result<Self, OpenError> {
        let with = |opener| open::open_damaged(&Options { opener, ..options.clone() });
        let latest = match with(copy_on_write::opener()) {
            Err(OpenError::Corrupt { .. }) => with(copy_on_write::previous_commit_opener()),
            opened => opened,
        };
        latest.map(Self)
    }
}

impl Backup for Salvage {
    fn write(&self, out: &mut dyn Write) -> Result<ArchiveSummary, BackupError> {
        let txn = caught(|| self.0.database.begin_read().map_err(store_error))?;
        let keys = Keys::read(&txn);
        let revision = keys.revision();
        if revision == Revision(0) {
            let reason = "neither index nor log can be read".to_owned();
            return Err(StoreError::Corrupt { reason }.into());
        }
        let mut archive =
            ArchiveWriter::begin(out, ArchiveHead { revision, taken: SystemTime::now() })?;
        let mut gaps = Vec::new();
        for (key, reached) in keys.0 {
            let (at, account) = match reached {
                Reached::Version(version, account) => match live(version) {
                    Some(at) => (at, account),
                    None => continue,
                },
                Reached::Damaged => {
                    gaps.push(MissingEntry { key, revision: Revision(0) });
                    continue;
                }
            };
            match read_entry(&txn, &key, at) {
                Ok(entry) => archive.entry(&entry, at.sub, account.as_ref())?,
                Err(_) => gaps.push(MissingEntry { key, revision: at.revision }),
            }
        }
        gaps.truncate(MAX_GAPS);
        Ok(archive.finish(revision, &gaps)?)
    }
}

fn read_entry(txn: &ReadTransaction, key: &Key, at: Position) -> Result<Entry, StoreError> {
    caught(|| Values::open(txn, None)?.entry(key, at))
}

impl Keys {
    fn read(txn: &ReadTransaction) -> Self {
        let mut keys = Self::default();
        // Damage ends each pass.
        let _ = caught(|| keys.pass_index(txn, Direction::Forward));
        let _ = caught(|| keys.pass_index(txn, Direction::Backward));
        if let Ok(log) = caught(|| whole_log(txn)) {
            log.into_iter().for_each(|(key, version)| keys.add_logged(key, version));
        }
        keys
    }

    /// Adds the rows of the index in one direction until the first page that cannot be read.
    fn pass_index(
        &mut self,
        txn: &ReadTransaction,
        direction: Direction,
    ) -> Result<(), StoreError> {
        let table = txn.open_table(CURRENT).map_err(store_error)?;
        let mut rows = table.iter().map_err(store_error)?;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let next = match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            let Some(row) = next else { return Ok(()) };
            let (key, row) = row.map_err(store_error)?;
            let key = key.value();
            // A damaged branch can lead around in a circle.
            if !last.as_deref().is_none_or(|last| direction.is_ahead(last, key)) {
                return Ok(());
            }
            last = Some(key.to_owned());
            let Ok(name) = decode_key(key) else { continue };
            match decode_latest(key, row.value()) {
                Ok(Latest { version, charge }) => {
                    let account = charge.map(|charge| charge.account);
                    self.0.insert(name, Reached::Version(version, account));
                }
                Err(_) => {
                    self.0.entry(name).or_insert(Reached::Damaged);
                }
            }
        }
    }

    /// Adds the latest version of a key in the log, unless the index has it.
    fn add_logged(&mut self, key: Key, version: Version) {
        let is_known = matches!(
            self.0.get(&key),
            Some(Reached::Version(known, _)) if known.at >= version.at
        );
        if !is_known {
            self.0.insert(key, Reached::Version(version, None));
        }
    }

    /// The latest revision of all versions.
    fn revision(&self) -> Revision {
        let revisions = self.0.values().map(|reached| match reached {
            Reached::Version(version, _) => version.at.revision,
            Reached::Damaged => Revision(0),
        });
        revisions.max().unwrap_or_default()
    }
}

/// The direction of a pass.
#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

impl Direction {
    fn is_ahead(self, last: &[u8], key: &[u8]) -> bool {
        match self {
            Self::Forward => last < key,
            Self::Backward => last > key,
        }
    }
}

/// The latest version of each key in the log.
///
/// # Errors
/// A part of the log is damaged: a later version may be in it.
fn whole_log(txn: &ReadTransaction) -> Result<BTreeMap<Key, Version>, StoreError> {
    let (table, mut latest) = (txn.open_table(LOG).map_err(store_error)?, BTreeMap::new());
    let damaged = || StoreError::Corrupt { reason: "the log is not whole".to_owned() };
    let (mut rows, mut last) = (0, None);
    for row in table.iter().map_err(store_error)? {
        let (at, row) = row.map_err(store_error)?;
        let at = Position::decode(at.value());
        let Record { key, kind, .. } = Record::decode(at, row.value()).ok_or_else(damaged)?;
        if last.is_some_and(|last| last >= at) {
            return Err(damaged());
        }
        last = Some(at);
        latest.insert(Key::new(key), Version { at, kind });
        rows += 1;
    }
    if table.len().map_err(store_error)? == rows { Ok(latest) } else { Err(damaged()) }
}

/// Runs a read. redb panics on some kinds of damage.
fn caught<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}
