//! The ledger: the usage of every account, in memory and in the table `accounts`.
//!
//! A group collects its changes in [`LedgerChanges`] and writes the rows of the accounts that it
//! changed, in its own transaction. The ledger takes them over once the transaction is durable. So
//! opening a store reads one row for each account, and no commit reads any.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use redb::ReadableTable;

use crate::store::{Account, AccountUsage, Accounting, StoreError};

use super::error::{damaged_row, store_error};
use super::layout::{ACCOUNTS, decode_usage};
use super::read::Snapshot;

/// The usage of every account as of the latest commit.
pub(super) struct Ledger {
    usages: RwLock<HashMap<Account, AccountUsage>>,
    /// The limit of each account in bytes; `None` for no limit.
    limit: Option<u64>,
}

impl Ledger {
    /// A ledger without accounts.
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { usages: RwLock::default(), limit }
    }

    /// Reads all accounts of a snapshot in place of those in memory.
    pub(super) fn load(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut usages = HashMap::new();
        for row in snapshot.table(ACCOUNTS)?.iter().map_err(store_error)? {
            let (account, row) = row.map_err(store_error)?;
            let account = account.value();
            let usage = decode_usage(account, row.value())
                .ok_or_else(|| damaged_row(format_args!("the usage of account {account:?}")))?;
            usages.insert(Account::new(account), usage);
        }
        *self.usages.write().unwrap_or_else(PoisonError::into_inner) = usages;
        Ok(())
    }

    /// Takes over the changes of a group that is durable.
    pub(super) fn settle(&self, changes: HashMap<Account, AccountUsage>) {
        if changes.is_empty() {
            return;
        }
        let mut usages = self.usages.write().unwrap_or_else(PoisonError::into_inner);
        for (account, usage) in changes {
            if usage == AccountUsage::default() {
                usages.remove(&account);
            } else {
                usages.insert(account, usage);
            }
        }
    }
}

impl Accounting for Ledger {
    fn usage(&self, account: &Account) -> AccountUsage {
        let usages = self.usages.read().unwrap_or_else(PoisonError::into_inner);
        usages.get(account).copied().unwrap_or_default()
    }

    fn largest(&self) -> Option<(Account, AccountUsage)> {
        let usages = self.usages.read().unwrap_or_else(PoisonError::into_inner);
        let largest = usages.iter().max_by_key(|(_, usage)| usage.total());
        largest.map(|(account, usage)| (account.clone(), *usage))
    }
}

/// The accounts that an open group has changed, with their new usage.
pub(super) struct LedgerChanges<'l> {
    ledger: &'l Ledger,
    usages: HashMap<Account, AccountUsage>,
}

impl<'l> LedgerChanges<'l> {
    pub(super) fn new(ledger: &'l Ledger) -> Self {
        Self { ledger, usages: HashMap::new() }
    }

    /// The usage of an account, to change it.
    pub(super) fn of(&mut self, account: &Account) -> &mut AccountUsage {
        if !self.usages.contains_key(account) {
            self.usages.insert(account.clone(), self.ledger.usage(account));
        }
        self.usages.get_mut(account).expect("the account was inserted")
    }

    /// Checks that an account may grow by some bytes.
    ///
    /// # Errors
    /// `AccountFull` beyond the limit.
    pub(super) fn check_growth(&self, account: &Account, needed: u64) -> Result<(), StoreError> {
        let Some(limit) = self.ledger.limit else { return Ok(()) };
        let usage = self.usages.get(account).copied().unwrap_or_else(|| self.ledger.usage(account));
        if needed == 0 || usage.total().saturating_add(needed) <= limit {
            return Ok(());
        }
        Err(StoreError::AccountFull { account: account.clone(), usage, needed, limit })
    }

    /// The new usage of every account that was changed.
    pub(super) fn into_usages(self) -> HashMap<Account, AccountUsage> {
        self.usages
    }
}
