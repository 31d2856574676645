//! Transactions: guards, changes and the outcome.

use std::collections::HashSet;

use bytes::Bytes;

use super::entry::MAX_KEY_BYTES;
use super::{Charge, Entry, Key, MAX_ACCOUNT_BYTES, Revision, StoreError, TermGuard};

/// A condition on the current state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key has no value.
    Absent(Key),
    /// The key has a value, and exactly this revision wrote it.
    Unchanged(Key, Revision),
}

impl Guard {
    /// The key of the condition.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }

    /// Returns true if the guard holds for a key whose value, if any, has the revision `current`.
    pub(super) fn holds(&self, current: Option<Revision>) -> bool {
        match self {
            Self::Absent(_) => current.is_none(),
            Self::Unchanged(_, revision) => current == Some(*revision),
        }
    }
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stores a value, new or in place of an old one.
    Put(Key, Bytes),
    /// Removes the value. No change if the key has no value.
    Delete(Key),
}

impl Change {
    /// The key of the change.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    /// The bytes of key and value that are stored; 0 for a deletion.
    pub fn stored_bytes(&self) -> u64 {
        match self {
            Self::Put(key, value) => (key.as_str().len() + value.len()) as u64,
            Self::Delete(_) => 0,
        }
    }
}

/// Changes that are applied together if all guards hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Txn {
    /// The conditions.
    pub guards: Vec<Guard>,
    /// The changes, each of another key. They share one revision.
    pub changes: Vec<Change>,
    /// The account that is charged for the changes.
    pub charge: Charge,
    /// The term that must last, for a write of an elected replica.
    pub term: Option<TermGuard>,
}

impl Txn {
    /// Rejects invalid keys and accounts, and two changes of one key.
    ///
    /// # Errors
    /// `Invalid`, and `TooLarge` for a value beyond the limit.
    pub(super) fn validate(&self, max_value_bytes: usize) -> Result<(), StoreError> {
        if self.charge.account().is_some_and(|account| !account.is_storable()) {
            let reason = format!("an account has 1 to {MAX_ACCOUNT_BYTES} bytes");
            return Err(StoreError::Invalid { reason });
        }
        let mut seen = HashSet::with_capacity(self.changes.len());
        self.changes.iter().try_for_each(|change| {
            let key = change.key();
            let reason = match change {
                _ if !key.is_storable() => {
                    format!("a key is 1 to {MAX_KEY_BYTES} bytes without NUL, unlike {key:.64}")
                }
                _ if !seen.insert(key) => format!("{key} occurs in two changes"),
                Change::Put(_, value) if value.len() > max_value_bytes => {
                    let reason = format!(
                        "the value of {key} has {} bytes, the most is {max_value_bytes}: shorten the object",
                        value.len()
                    );
                    return Err(StoreError::TooLarge { reason });
                }
                _ => return Ok(()),
            };
            Err(StoreError::Invalid { reason })
        })
    }
}

/// The outcome of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All guards held and the changes are durable, with this revision.
    Committed(Revision),
    /// Nothing was changed. Carries the current state of each guard that failed, in the order of
    /// the guards.
    Refused(Vec<Current>),
}

/// The current state of a key whose guard failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The key of the guard.
    pub key: Key,
    /// The current entry; `None` without a value.
    pub entry: Option<Entry>,
}
