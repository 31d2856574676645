//! One write transaction of redb for the transactions of a group: checks guards in order and
//! applies changes. [`super::writer`] decides which jobs form a group, and commits.

use redb::{Table, WriteTransaction};

use crate::store::{Change, Current, Guard, Outcome, Revision, StoreError, Txn};

use super::error::store_error;
use super::layout::{
    CHECK, CURRENT, HISTORY, Kind, LOG, META, META_COMPACTED, META_CURRENT, Position, Record,
    VALUES, Version, encode_number, encode_value, history_key,
};
use super::read::{entry, live, number, version};

/// The tables of an open write transaction, with the revisions that it will commit.
pub(super) struct Group<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    pub(super) log: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    pub(super) values: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    pub(super) current: Table<'t, &'static [u8], &'static [u8]>,
    pub(super) history: Table<'t, &'static [u8], &'static [u8]>,
    revision: Revision,
    compacted: Revision,
    pub(super) buffer: Vec<u8>,
    pub(super) effect: Effect,
}

/// The effect of a group on the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing to commit.
    Nothing,
    /// Rows to commit.
    Changed,
}

/// The result of checking guards.
pub(super) enum GuardCheck {
    /// Every guard holds. Carries the current version of every key that changes.
    Holds(Vec<Option<Version>>),
    /// The guards that do not hold.
    Refused(Vec<Current>),
}

impl<'t> Group<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        let meta = txn.open_table(META).map_err(store_error)?;
        Ok(Self {
            revision: Revision(number(&meta, META_CURRENT)?),
            compacted: Revision(number(&meta, META_COMPACTED)?),
            meta,
            log: txn.open_table(LOG).map_err(store_error)?,
            values: txn.open_table(VALUES).map_err(store_error)?,
            current: txn.open_table(CURRENT).map_err(store_error)?,
            history: txn.open_table(HISTORY).map_err(store_error)?,
            buffer: Vec::new(),
            effect: Effect::Nothing,
        })
    }

    /// The revision of the latest transaction, uncommitted ones included.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read.
    pub(super) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Checks the guards. Changes nothing, so an error concerns this transaction only.
    pub(super) fn check_guards(&self, txn: &Txn) -> Result<GuardCheck, StoreError> {
        let mut refused = Vec::new();
        for guard in &txn.guards {
            self.check(guard, &mut refused)?;
        }
        if !refused.is_empty() {
            return Ok(GuardCheck::Refused(refused));
        }
        let replaced = txn
            .changes
            .iter()
            .map(|change| version(&self.current, change.key().as_str().as_bytes()));
        Ok(GuardCheck::Holds(replaced.collect::<Result<_, _>>()?))
    }

    /// Applies the changes, which replace the versions `replaced`. After an error the write
    /// transaction must not be committed: it may hold a part of them.
    pub(super) fn apply(
        &mut self,
        txn: &Txn,
        replaced: Vec<Option<Version>>,
    ) -> Result<Outcome, StoreError> {
        let revision = Revision(self.revision.0 + 1);
        let mut sub = 0;
        for (change, replaced) in txn.changes.iter().zip(replaced) {
            let missing = replaced.and_then(live).is_none();
            if missing && matches!(change, Change::Delete(_)) {
                continue;
            }
            self.write(Position { revision, sub }, change, replaced)?;
            sub += 1;
        }
        if sub > 0 {
            self.revision = revision;
            self.effect = Effect::Changed;
        }
        Ok(Outcome::Committed(self.revision))
    }

    /// Raises the oldest revision that can be read, at most to the latest. Never lowers it.
    pub(super) fn raise_compacted(&mut self, at: Revision) {
        let at = at.min(self.revision);
        if at > self.compacted {
            self.compacted = at;
            self.effect = Effect::Changed;
        }
    }

    /// Writes the revisions of the group and closes the tables. The caller commits or aborts.
    pub(super) fn finish(mut self) -> Result<Effect, StoreError> {
        if self.effect == Effect::Changed {
            for (name, Revision(number)) in
                [(META_CURRENT, self.revision), (META_COMPACTED, self.compacted)]
            {
                self.meta.insert(name, &encode_number(name, number)[..]).map_err(store_error)?;
            }
        }
        Ok(self.effect)
    }

    fn check(&self, guard: &Guard, refused: &mut Vec<Current>) -> Result<(), StoreError> {
        let key = guard.key();
        let current = version(&self.current, key.as_str().as_bytes())?;
        if !guard.holds(current.and_then(Version::value_revision)) {
            let entry =
                current.and_then(live).map(|at| entry(&self.values, key, at)).transpose()?;
            refused.push(Current { key: key.clone(), entry });
        }
        Ok(())
    }

    fn write(
        &mut self,
        at: Position,
        change: &Change,
        replaced: Option<Version>,
    ) -> Result<(), StoreError> {
        let key = change.key().as_str();
        let key_bytes = key.as_bytes();
        let kind = if matches!(change, Change::Put(..)) { Kind::Value } else { Kind::Deletion };
        if let Change::Put(_, value) = change {
            let mut row = self
                .values
                .insert_reserve(&at.encode(), value.len() + CHECK)
                .map_err(store_error)?;
            encode_value(key_bytes, at, value, row.as_mut());
        }
        Record { key, kind, replaced }.encode(at, &mut self.buffer);
        self.log.insert(&at.encode(), &*self.buffer).map_err(store_error)?;
        self.current
            .insert(key_bytes, &Version { at, kind }.encode(key_bytes)[..])
            .map_err(store_error)?;
        if let Some(old) = replaced {
            history_key(key_bytes, old.at.revision, &mut self.buffer);
            self.history.insert(&*self.buffer, &old.encode(key_bytes)[..]).map_err(store_error)?;
        }
        Ok(())
    }
}
