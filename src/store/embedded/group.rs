//! One write transaction of redb for the transactions of a group: checks guards in order and
//! applies changes. [`super::writer`] decides which jobs form a group, and commits.

use std::collections::HashMap;

use bytes::Bytes;
use redb::{Table, WriteTransaction};

use crate::store::{
    Account, AccountUsage, Change, Charge, Current, Entry, Guard, Key, Outcome, Revision,
    StoreError, Txn,
};

use super::error::store_error;
use super::layout::{
    ACCOUNTS, CURRENT, HISTORY, Kind, LOG, Latest, META, META_COMPACTED, META_CURRENT,
    META_REUSABLE, Position, Record, RowCharge, Version, encode_number, encode_usage, history_key,
};
use super::ledger::{Ledger, LedgerChanges};
use super::read::{latest, live, number, version};
use super::repack::Repacking;
use super::values::{CommittedValues, GroupValues};

/// The tables of an open write transaction, with the revisions that it will commit.
pub(super) struct Group<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    pub(super) log: Table<'t, &'static [u8; Position::BYTES], &'static [u8]>,
    pub(super) values: GroupValues<'t>,
    pub(super) current: Table<'t, &'static [u8], &'static [u8]>,
    pub(super) history: Table<'t, &'static [u8], &'static [u8]>,
    account_rows: Table<'t, &'static str, &'static [u8]>,
    pub(super) accounts: LedgerChanges<'t>,
    revision: Revision,
    compacted: Revision,
    /// Bytes of the file that compaction has freed and no value has taken since.
    pub(super) reusable: u64,
    pub(super) repacking: Repacking,
    pub(super) buffer: Vec<u8>,
    pub(super) effect: Effect,
    /// The latest entry that refused a guard.
    refusing: Option<(Position, Entry)>,
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
    /// Every guard holds. Carries the latest version of every key that changes.
    Holds(Vec<Option<Latest>>),
    /// The guards that do not hold.
    Refused(Vec<Current>),
}

/// A group whose rows are written, for the commit.
pub(super) struct Finished {
    pub(super) effect: Effect,
    /// The usage of every account that the group has changed.
    pub(super) accounts: HashMap<Account, AccountUsage>,
    pub(super) reusable: u64,
    pub(super) repacking: Repacking,
    /// The large values of the group.
    pub(super) values: HashMap<Position, Bytes>,
}

impl<'t> Group<'t> {
    pub(super) fn open(
        txn: &'t WriteTransaction,
        ledger: &'t Ledger,
        committed: CommittedValues<'t>,
        repacking: Repacking,
    ) -> Result<Self, StoreError> {
        let meta = txn.open_table(META).map_err(store_error)?;
        Ok(Self {
            revision: Revision(number(&meta, META_CURRENT)?),
            compacted: Revision(number(&meta, META_COMPACTED)?),
            reusable: number(&meta, META_REUSABLE)?,
            repacking,
            meta,
            log: txn.open_table(LOG).map_err(store_error)?,
            values: GroupValues::open(txn, committed)?,
            current: txn.open_table(CURRENT).map_err(store_error)?,
            history: txn.open_table(HISTORY).map_err(store_error)?,
            account_rows: txn.open_table(ACCOUNTS).map_err(store_error)?,
            accounts: LedgerChanges::new(ledger),
            buffer: Vec::new(),
            effect: Effect::Nothing,
            refusing: None,
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
    pub(super) fn check_guards(&mut self, txn: &Txn) -> Result<GuardCheck, StoreError> {
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
            .map(|change| latest(&self.current, change.key().as_str().as_bytes()));
        Ok(GuardCheck::Holds(replaced.collect::<Result<_, _>>()?))
    }

    /// Checks the limit of the account of a transaction that stores a value.
    ///
    /// # Errors
    /// `AccountFull` beyond the limit.
    pub(super) fn check_account(
        &self,
        txn: &Txn,
        replaced: &[Option<Latest>],
    ) -> Result<(), StoreError> {
        let Charge::Limited(payer) = &txn.charge else { return Ok(()) };
        if !txn.changes.iter().any(|change| matches!(change, Change::Put(..))) {
            return Ok(());
        }
        let (mut taken, mut freed) = (0, 0);
        for (change, replaced) in txn.changes.iter().zip(replaced) {
            let old = replaced.as_ref().and_then(|old| old.charge.as_ref());
            if old.is_none_or(|old| old.account == *payer) {
                taken += change.stored_bytes();
            }
            if let Some(old) = old {
                taken += u64::from(old.bytes);
                freed += if old.account == *payer { u64::from(old.bytes) } else { 0 };
            }
        }
        self.accounts.check_growth(payer, taken.saturating_sub(freed))
    }

    /// Applies the changes, which replace the versions `replaced`. After an error the write
    /// transaction must not be committed: it may hold a part of them.
    pub(super) fn apply(
        &mut self,
        txn: &Txn,
        replaced: Vec<Option<Latest>>,
    ) -> Result<Outcome, StoreError> {
        let revision = Revision(self.revision.0 + 1);
        let mut sub = 0;
        for (change, replaced) in txn.changes.iter().zip(replaced) {
            let missing = replaced.as_ref().and_then(|old| live(old.version)).is_none();
            if missing && matches!(change, Change::Delete(_)) {
                continue;
            }
            self.write(Position { revision, sub }, change, replaced, txn.charge.account())?;
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
    pub(super) fn finish(mut self) -> Result<Finished, StoreError> {
        let accounts = self.accounts.into_usages();
        if self.effect == Effect::Changed {
            for (name, number) in [
                (META_CURRENT, self.revision.0),
                (META_COMPACTED, self.compacted.0),
                (META_REUSABLE, self.reusable),
            ] {
                self.meta.insert(name, &encode_number(name, number)[..]).map_err(store_error)?;
            }
            for (account, usage) in &accounts {
                let account = account.as_str();
                if *usage == AccountUsage::default() {
                    self.account_rows.remove(account).map_err(store_error)?;
                } else {
                    let row = encode_usage(account, *usage);
                    self.account_rows.insert(account, &row[..]).map_err(store_error)?;
                }
            }
        }
        let Self { effect, reusable, repacking, .. } = self;
        Ok(Finished { effect, accounts, reusable, repacking, values: self.values.into_written() })
    }

    fn check(&mut self, guard: &Guard, refused: &mut Vec<Current>) -> Result<(), StoreError> {
        let key = guard.key();
        let current = version(&self.current, key.as_str().as_bytes())?;
        if !guard.holds(current.and_then(Version::value_revision)) {
            let entry =
                current.and_then(live).map(|at| self.refusing_entry(key, at)).transpose()?;
            refused.push(Current { key: key.clone(), entry });
        }
        Ok(())
    }

    /// The entry at a position. Jobs of one group that the same entry refuses share its value: many
    /// writers of one large object would copy it once each.
    fn refusing_entry(&mut self, key: &Key, at: Position) -> Result<Entry, StoreError> {
        if let Some((known, entry)) = &self.refusing
            && *known == at
        {
            return Ok(entry.clone());
        }
        let entry = self.values.entry(key, at)?;
        self.refusing = Some((at, entry.clone()));
        Ok(entry)
    }

    fn write(
        &mut self,
        at: Position,
        change: &Change,
        replaced: Option<Latest>,
        payer: Option<&Account>,
    ) -> Result<(), StoreError> {
        let key = change.key().as_str();
        let key_bytes = key.as_bytes();
        let kind = if matches!(change, Change::Put(..)) { Kind::Value } else { Kind::Deletion };
        if let Change::Put(_, value) = change {
            let old = replaced.as_ref().and_then(|old| live(old.version));
            let bytes = self.values.put(key_bytes, at, value, old)?;
            self.reusable = self.reusable.saturating_sub(bytes);
        }
        let (replaced, old_charge) = replaced.map(|old| (old.version, old.charge)).unzip();
        let (charge, history_charge) = self.charge(change, old_charge.flatten(), payer);
        Record { key, kind, replaced, charge: history_charge }.encode(at, &mut self.buffer);
        self.log.insert(&at.encode(), &*self.buffer).map_err(store_error)?;
        Latest { version: Version { at, kind }, charge }.encode(key_bytes, &mut self.buffer);
        self.current.insert(key_bytes, &*self.buffer).map_err(store_error)?;
        if let Some(old) = replaced {
            history_key(key_bytes, old.at.revision, &mut self.buffer);
            self.history.insert(&*self.buffer, &old.encode(key_bytes)[..]).map_err(store_error)?;
        }
        Ok(())
    }

    /// Charges a change, see *Accounts* in the contract of [`crate::store::Store`]. Returns the
    /// charges for the new value and for the replaced one.
    fn charge(
        &mut self,
        change: &Change,
        old: Option<RowCharge>,
        payer: Option<&Account>,
    ) -> (Option<RowCharge>, Option<RowCharge>) {
        let owner = old.as_ref().map(|old| &old.account).or(payer);
        let stored = owner.filter(|_| matches!(change, Change::Put(..))).map(|owner| {
            let bytes = u32::try_from(change.stored_bytes()).unwrap_or(u32::MAX);
            RowCharge { account: owner.clone(), bytes }
        });
        if let Some(RowCharge { account, bytes }) = &stored {
            self.accounts.of(account).current += u64::from(*bytes);
        }
        if let Some(RowCharge { account, bytes }) = &old {
            let usage = self.accounts.of(account);
            usage.current = usage.current.saturating_sub(u64::from(*bytes));
        }
        let history = old.zip(payer).map(|(RowCharge { bytes, .. }, payer)| {
            self.accounts.of(payer).history += u64::from(bytes);
            RowCharge { account: payer.clone(), bytes }
        });
        (stored, history)
    }
}
