//! Looking at everything in a data file: whether each row is what was written, and whether the tables agree with each
//! other. Changes nothing, and goes on after a fault, so that all of the damage is told.
//!
//! What must hold, besides the checksums:
//!
//! * every version in `current` and `history` that is a value has its row in `values`, and nothing else has one;
//! * every version after the compaction point, and every deletion that is the latest version, is in `log`, with the same
//!   key and kind;
//! * every row of `log` is about a version in `current` or `history`, and what it says it replaced is in `history`;
//! * every row of `history` was replaced by something in `log`;
//! * nothing is younger than the latest revision.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::store::{Revision, StoreError};

use super::error::OpenError;
use super::layout::{CURRENT, HISTORY, Kind, LOG, Position, Record, VALUES, Version, decode_value, history_key};
use super::open::{self, Open, Options};
use super::overlay;
use super::read::{Snapshot, decode_key, decode_version, version};
use super::shared::{fault, panicked};

/// What a data file holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// The latest revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compacted: Revision,
    /// How many keys have a value.
    pub keys: u64,
    /// How many values there are, replaced ones included.
    pub values: u64,
    /// How many bytes these have together.
    pub bytes: u64,
    /// How many changes are remembered.
    pub changes: u64,
    /// What is wrong.
    pub faults: Faults,
}

/// What is wrong, a sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first of them.
    pub told: Vec<String>,
    /// How many there are.
    pub total: u64,
}

impl Faults {
    /// How many are told.
    const TOLD: usize = 20;

    /// Notes one.
    pub fn add(&mut self, fault: impl ToString) {
        self.total += 1;
        if self.told.len() < Self::TOLD {
            self.told.push(fault.to_string());
        }
    }
}

/// Examines the store in a folder, which must be there, without changing the file. Blocks.
///
/// # Errors
/// The file cannot be opened, or another process has it.
pub fn examine(options: &Options) -> Result<Examination, OpenError> {
    let options = Options { opener: overlay::opener(), ..options.clone() };
    let Open { mut database, lock: _held } = open::open_existing(&options)?;
    Ok(look(&mut database))
}

/// Examines a database that nobody else reads or writes.
pub(super) fn look(database: &mut Database) -> Examination {
    let mut examination = Examination::default();
    let looked = catch_unwind(AssertUnwindSafe(|| {
        examination.pages(database.check_integrity());
        let snapshot = database.begin_read().map_err(fault).and_then(Snapshot::new)?;
        examination.rows(&snapshot)
    }));
    let not_read = |error: StoreError| format!("the file cannot be read to its end: {error}");
    match looked.unwrap_or_else(|panic: Box<dyn Any + Send>| Err(panicked(&*panic))) {
        Ok(()) => {}
        Err(error) => examination.faults.add(not_read(error)),
    }
    examination
}

/// The tables of a snapshot.
struct Tables {
    log: ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    values: ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    current: ReadOnlyTable<&'static [u8], &'static [u8]>,
    history: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Examination {
    fn pages(&mut self, checked: Result<bool, DatabaseError>) {
        match checked {
            Ok(true) => {}
            Ok(false) => self.faults.add("pages of the file are not what was written; opening it would repair them"),
            Err(error) => self.faults.add(format_args!("pages of the file are not what was written: {error}")),
        }
    }

    fn rows(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        (self.revision, self.compacted) = (snapshot.current()?, snapshot.compacted()?);
        if self.compacted > self.revision {
            let (compacted, latest) = (self.compacted, self.revision);
            self.faults.add(format_args!("revision {compacted} is compacted, and the latest is {latest}"));
        }
        let tables = Tables {
            log: snapshot.table(LOG)?,
            values: snapshot.table(VALUES)?,
            current: snapshot.table(CURRENT)?,
            history: snapshot.table(HISTORY)?,
        };
        self.current(&tables)?;
        self.history(&tables)?;
        self.log(&tables)?;
        let stored = tables.values.len().map_err(fault)?;
        if stored != self.values {
            let known = self.values;
            self.faults.add(format_args!("{stored} values are stored, and keys are known for {known} of them"));
        }
        Ok(())
    }

    fn current(&mut self, tables: &Tables) -> Result<(), StoreError> {
        for row in tables.current.iter().map_err(fault)? {
            let (key, row) = row.map_err(fault)?;
            let key = key.value();
            let Some(version) = self.noted(decode_key(key).and_then(|_| decode_version(key, row.value()))) else {
                continue;
            };
            self.keys += u64::from(version.kind == Kind::Value);
            self.version(tables, key, version)?;
            if version.kind == Kind::Deletion || version.at.revision > self.compacted {
                self.logged(tables, key, version)?;
            }
        }
        Ok(())
    }

    fn history(&mut self, tables: &Tables) -> Result<(), StoreError> {
        for row in tables.history.iter().map_err(fault)? {
            let (place, row) = row.map_err(fault)?;
            let place = place.value();
            let Some((key, revision)) = split(place) else {
                self.faults.add(format_args!("the history has an entry {}", place.escape_ascii()));
                continue;
            };
            let Some(old) = self.noted(decode_version(key, row.value())) else { continue };
            let latest = self.noted(version(&tables.current, key)).flatten();
            if old.at.revision != revision || latest.is_none_or(|latest| latest.at.revision <= revision) {
                let key = key.escape_ascii();
                self.faults.add(format_args!("the version of {key} of revision {revision} was replaced by nothing"));
            }
            self.version(tables, key, old)?;
            if old.at.revision > self.compacted {
                self.logged(tables, key, old)?;
            }
        }
        Ok(())
    }

    /// A version of a key, the latest or an older one.
    fn version(&mut self, tables: &Tables, key: &[u8], Version { at, kind }: Version) -> Result<(), StoreError> {
        let Position { revision, .. } = at;
        let name = key.escape_ascii();
        if revision > self.revision {
            self.faults.add(format_args!("{name} is of revision {revision}, and the latest is {}", self.revision));
        }
        if kind == Kind::Value {
            self.values += 1;
            let row = tables.values.get(&at.encode()).map_err(fault)?;
            match row.as_ref().and_then(|row| decode_value(key, at, row.value())) {
                Some(value) => self.bytes += value.len() as u64,
                None => self.faults.add(format_args!("the value of {name} written by revision {revision} is damaged")),
            }
        }
        Ok(())
    }

    /// A version that the log must know.
    fn logged(&mut self, tables: &Tables, key: &[u8], Version { at, kind }: Version) -> Result<(), StoreError> {
        let row = tables.log.get(&at.encode()).map_err(fault)?;
        let record = row.as_ref().and_then(|row| Record::decode(at, row.value()));
        if !record.is_some_and(|record| record.key.as_bytes() == key && record.kind == kind) {
            let (revision, key) = (at.revision, key.escape_ascii());
            self.faults.add(format_args!("the log does not say that revision {revision} changed {key}"));
        }
        Ok(())
    }

    fn log(&mut self, tables: &Tables) -> Result<(), StoreError> {
        let (mut place, mut replaced) = (Vec::new(), 0);
        for row in tables.log.iter().map_err(fault)? {
            let (at, row) = row.map_err(fault)?;
            let at = Position::decode(at.value());
            let revision = at.revision;
            self.changes += 1;
            let Some(record) = Record::decode(at, row.value()) else {
                self.faults.add(format_args!("the checksum of the log at revision {revision} does not match"));
                continue;
            };
            let key = record.key.as_bytes();
            let mut older = |wanted: Position| {
                history_key(key, wanted.revision, &mut place);
                let row = tables.history.get(&*place).map_err(fault)?;
                Ok::<_, StoreError>(row.and_then(|row| Version::decode(key, row.value())))
            };
            let own = Some(Version { at, kind: record.kind });
            let latest = version(&tables.current, key).ok().flatten();
            if latest != own && older(at)? != own {
                self.faults.add(format_args!("revision {revision} changed {}, which is not to be found", record.key));
            }
            if let Some(old) = record.replaced {
                replaced += 1;
                if older(old.at)? != Some(old) {
                    let key = record.key;
                    self.faults.add(format_args!("what revision {revision} replaced in {key} is not to be found"));
                }
            }
        }
        let kept = tables.history.len().map_err(fault)?;
        if kept != replaced {
            self.faults.add(format_args!("{kept} older versions are kept, and the log replaced {replaced}"));
        }
        Ok(())
    }

    /// What was decoded; a failure is noted.
    fn noted<T>(&mut self, decoded: Result<T, StoreError>) -> Option<T> {
        decoded.map_err(|error| self.faults.add(error)).ok()
    }
}

/// The key and the revision in a key of the history.
fn split(place: &[u8]) -> Option<(&[u8], Revision)> {
    let (rest, revision) = place.split_last_chunk()?;
    let (0, key) = rest.split_last()? else { return None };
    Some((key, Revision(u64::from_be_bytes(*revision))))
}
