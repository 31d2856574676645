//! Verification of a data file: the checksum of each row, and the agreement of the tables. Changes
//! nothing, and continues after a problem, so that the report is complete.
//!
//! Invariants besides the checksums:
//!
//! * `packed`, `deltas` or `values` has exactly one row for each version in `current` and `history` that is a
//!   value, and one for each compacted version that one of these is a difference from;
//! * `log` has a row, with the same key and kind, for each version after the compaction point, and
//!   for each deletion that is the latest version of its key;
//! * each row of `log` refers to a version in `current` or `history`, and the version that it
//!   replaced is in `history`;
//! * each row of `history` was replaced by a version in `log`;
//! * no version is newer than the latest revision;
//! * `accounts` has the sums of the charges in `current` and in `log`.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
};

use crate::store::{Account, AccountUsage, FsckReport, OpenError, StoreError};

use super::copy_on_write;
use super::data_file;
use super::error::{panicked, store_error};
use super::layout::{
    ACCOUNTS, CURRENT, HISTORY, Kind, LOG, Latest, Position, Record, RowCharge, Version,
    decode_usage, history_key, split_history_key,
};
use super::open::{self, Open};
use super::options::Options;
use super::read::{Snapshot, decode_key, decode_latest, decode_version, version};
use super::space_use::space_use;
use super::values::Values;

/// Verifies an existing store, see [`crate::store::Maintenance::fsck`].
pub(super) fn fsck(options: &Options) -> Result<FsckReport, OpenError> {
    let options = Options { opener: copy_on_write::opener(), ..options.clone() };
    let Open { mut database, lock: _held } = open::open_read_only(&options)?;
    let mut report = verify(&mut database);
    if report.problems.total == 0 {
        let length = data_file::size(&options.data_file())?.length;
        match space_use(&database, length) {
            Ok(space) => report.space = space,
            Err(error) => report.problems.add(not_read(&error)),
        }
    }
    Ok(report)
}

fn not_read(error: &StoreError) -> String {
    format!("the file cannot be read to its end: {error}")
}

/// Verifies a database that has no other user. May repair it.
pub(super) fn verify(database: &mut Database) -> FsckReport {
    let mut report = FsckReport::default();
    let verified = catch_unwind(AssertUnwindSafe(|| {
        report.pages(database.check_integrity());
        let snapshot = database.begin_read().map_err(store_error).and_then(Snapshot::new)?;
        report.rows(&snapshot)
    }));
    match verified.unwrap_or_else(|panic: Box<dyn Any + Send>| Err(panicked(&*panic))) {
        Ok(()) => {}
        Err(error) => report.problems.add(not_read(&error)),
    }
    report
}

/// The tables of a snapshot.
struct Tables<'s> {
    log: ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>,
    values: &'s Values,
    current: ReadOnlyTable<&'static [u8], &'static [u8]>,
    history: ReadOnlyTable<&'static [u8], &'static [u8]>,
    accounts: ReadOnlyTable<&'static str, &'static [u8]>,
}

impl Tables<'_> {
    /// The number of compacted versions that the value at a position needs; 0 if it is a difference
    /// from a version that can still be read.
    fn compacted_bases(&self, key: &[u8], at: Position) -> Result<u64, StoreError> {
        let (mut bases, mut place, mut next) = (0, Vec::new(), at);
        while let Some(base) = self.values.base(key, next)?.filter(|base| *base < next) {
            history_key(key, base.revision, &mut place);
            if self.history.get(&*place).map_err(store_error)?.is_some() {
                break;
            }
            (bases, next) = (bases + 1, base);
        }
        Ok(bases)
    }
}

/// The usage of every account, summed from the rows.
type Usages = BTreeMap<Account, AccountUsage>;

impl FsckReport {
    fn pages(&mut self, checked: Result<bool, DatabaseError>) {
        match checked {
            Ok(true) => {}
            Ok(false) => self
                .problems
                .add("pages of the file are not what was written; opening it would repair them"),
            Err(error) => self
                .problems
                .add(format_args!("pages of the file are not what was written: {error}")),
        }
    }

    fn rows(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        (self.revision, self.compacted) = (snapshot.current()?, snapshot.compacted()?);
        if self.compacted > self.revision {
            let (compacted, latest) = (self.compacted, self.revision);
            self.problems
                .add(format_args!("revision {compacted} is compacted, and the latest is {latest}"));
        }
        let tables = Tables {
            log: snapshot.table(LOG)?,
            values: snapshot.values(),
            current: snapshot.table(CURRENT)?,
            history: snapshot.table(HISTORY)?,
            accounts: snapshot.table(ACCOUNTS)?,
        };
        let mut usages = Usages::new();
        let bases = self.current(&tables, &mut usages)? + self.history(&tables)?;
        self.log(&tables, &mut usages)?;
        self.accounts(&tables, usages)?;
        let (stored, referred) = (tables.values.len()?, self.values + bases);
        if stored != referred {
            self.problems.add(format_args!(
                "{stored} values are stored, and the index refers to {referred} of them"
            ));
        }
        Ok(())
    }

    /// Checks the latest versions. Returns the number of compacted versions that they need.
    fn current(&mut self, tables: &Tables<'_>, usages: &mut Usages) -> Result<u64, StoreError> {
        let mut bases = 0;
        for row in tables.current.iter().map_err(store_error)? {
            let (key, row) = row.map_err(store_error)?;
            let key = key.value();
            let Some(Latest { version, charge }) =
                self.decoded(decode_key(key).and_then(|_| decode_latest(key, row.value())))
            else {
                continue;
            };
            if let Some(RowCharge { account, bytes }) = charge {
                usages.entry(account).or_default().current += u64::from(bytes);
            }
            self.keys += u64::from(version.kind == Kind::Value);
            bases += self.version(tables, key, version)?;
            if version.kind == Kind::Deletion || version.at.revision > self.compacted {
                self.logged(tables, key, version)?;
            }
        }
        Ok(bases)
    }

    /// Checks the older versions. Returns the number of compacted versions that they need.
    fn history(&mut self, tables: &Tables<'_>) -> Result<u64, StoreError> {
        let mut bases = 0;
        for row in tables.history.iter().map_err(store_error)? {
            let (place, row) = row.map_err(store_error)?;
            let place = place.value();
            let Some((key, revision)) = split_history_key(place) else {
                self.problems.add(format_args!(
                    "the history has an entry {}, which is not a key with a revision",
                    place.escape_ascii()
                ));
                continue;
            };
            let Some(old) = self.decoded(decode_version(key, row.value())) else { continue };
            let latest = self.decoded(version(&tables.current, key)).flatten();
            if old.at.revision != revision
                || latest.is_none_or(|latest| latest.at.revision <= revision)
            {
                let key = key.escape_ascii();
                self.problems.add(format_args!(
                    "the history has the version of {key} of revision {revision}, which was not replaced"
                ));
            }
            bases += self.version(tables, key, old)?;
            if old.at.revision > self.compacted {
                self.logged(tables, key, old)?;
            }
        }
        Ok(bases)
    }

    /// Checks a version of a key, the latest or an older one. Returns the number of compacted versions
    /// that it is the oldest difference from.
    fn version(
        &mut self,
        tables: &Tables<'_>,
        key: &[u8],
        Version { at, kind }: Version,
    ) -> Result<u64, StoreError> {
        let Position { revision, .. } = at;
        let name = key.escape_ascii();
        if revision > self.revision {
            self.problems.add(format_args!(
                "{name} is of revision {revision}, and the latest is {}",
                self.revision
            ));
        }
        if kind == Kind::Deletion {
            return Ok(0);
        }
        self.values += 1;
        match tables.values.value(key, at)? {
            Some(value) => self.bytes += value.len() as u64,
            None => self
                .problems
                .add(format_args!("the value of {name} written by revision {revision} is damaged")),
        }
        tables.compacted_bases(key, at)
    }

    /// Checks that the log has the record of a version.
    fn logged(
        &mut self,
        tables: &Tables<'_>,
        key: &[u8],
        Version { at, kind }: Version,
    ) -> Result<(), StoreError> {
        let row = tables.log.get(&at.encode()).map_err(store_error)?;
        let record = row.as_ref().and_then(|row| Record::decode(at, row.value()));
        if !record.is_some_and(|record| record.key.as_bytes() == key && record.kind == kind) {
            let (revision, key) = (at.revision, key.escape_ascii());
            self.problems
                .add(format_args!("the log has no record that revision {revision} changed {key}"));
        }
        Ok(())
    }

    fn log(&mut self, tables: &Tables<'_>, usages: &mut Usages) -> Result<(), StoreError> {
        let (mut place, mut replaced) = (Vec::new(), 0);
        for row in tables.log.iter().map_err(store_error)? {
            let (at, row) = row.map_err(store_error)?;
            let at = Position::decode(at.value());
            let revision = at.revision;
            self.changes += 1;
            let Some(record) = Record::decode(at, row.value()) else {
                self.problems.add(format_args!(
                    "the checksum of the log at revision {revision} does not match"
                ));
                continue;
            };
            if let Some(RowCharge { account, bytes }) = record.charge {
                usages.entry(account).or_default().history += u64::from(bytes);
            }
            let key = record.key.as_bytes();
            let mut older = |position: Position| {
                history_key(key, position.revision, &mut place);
                let row = tables.history.get(&*place).map_err(store_error)?;
                Ok::<_, StoreError>(row.and_then(|row| Version::decode(key, row.value())))
            };
            let own = Some(Version { at, kind: record.kind });
            let latest = version(&tables.current, key).ok().flatten();
            if latest != own && older(at)? != own {
                self.problems.add(format_args!(
                    "revision {revision} changed {}, and that version is missing",
                    record.key
                ));
            }
            if let Some(old) = record.replaced {
                replaced += 1;
                if older(old.at)? != Some(old) {
                    let key = record.key;
                    self.problems.add(format_args!(
                        "the version of {key} that revision {revision} replaced is missing"
                    ));
                }
            }
        }
        let kept = tables.history.len().map_err(store_error)?;
        if kept != replaced {
            self.problems.add(format_args!(
                "{kept} older versions are kept, and the log replaced {replaced}"
            ));
        }
        Ok(())
    }

    fn accounts(&mut self, tables: &Tables<'_>, mut usages: Usages) -> Result<(), StoreError> {
        for row in tables.accounts.iter().map_err(store_error)? {
            let (account, row) = row.map_err(store_error)?;
            let account = account.value();
            let summed = usages.remove(&Account::new(account)).unwrap_or_default();
            if decode_usage(account, row.value()) != Some(summed) {
                self.problems.add(format_args!(
                    "the usage of account {account:?} differs from its rows: {} bytes of current and {} of old values",
                    summed.current, summed.history
                ));
            }
        }
        for (account, usage) in usages {
            self.problems.add(format_args!(
                "account {account:?} has {} bytes, and no row has its usage",
                usage.total()
            ));
        }
        Ok(())
    }

    /// Returns the decoded value, or adds the error to the problems.
    fn decoded<T>(&mut self, decoded: Result<T, StoreError>) -> Option<T> {
        decoded.map_err(|error| self.problems.add(error)).ok()
    }
}
