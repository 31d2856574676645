//! Accounts: the parties that stored bytes are charged to.

use std::fmt;
use std::sync::Arc;

/// The longest account that a store accepts, in bytes.
pub const MAX_ACCOUNT_BYTES: usize = 255;

/// A party that stored bytes are charged to, such as a namespace. Opaque to the store: 1 to
/// [`MAX_ACCOUNT_BYTES`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(Arc<str>);

impl Account {
    /// An account, valid or not.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text of the account.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_storable(&self) -> bool {
        (1..=MAX_ACCOUNT_BYTES).contains(&self.0.len())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The account that a transaction is charged to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// No account.
    #[default]
    Nobody,
    /// The account, within its limit.
    Limited(Account),
    /// The account, also beyond its limit. For deletions, which make room in the end.
    Unlimited(Account),
}

impl Charge {
    /// The account; `None` for [`Charge::Nobody`].
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Nobody => None,
            Self::Limited(account) | Self::Unlimited(account) => Some(account),
        }
    }

    /// The charge without its limit.
    pub fn unlimited(self) -> Self {
        match self {
            Self::Limited(account) => Self::Unlimited(account),
            other => other,
        }
    }
}

/// The bytes of keys and values that an account is charged for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountUsage {
    /// Bytes of current values.
    pub current: u64,
    /// Bytes of replaced and deleted values that are not compacted yet.
    pub history: u64,
}

impl AccountUsage {
    /// All bytes.
    pub fn total(self) -> u64 {
        self.current.saturating_add(self.history)
    }
}

/// The ability to report the usage of accounts, see *Accounts* in the contract of
/// [`super::Store`].
pub trait Accounting: Send + Sync + 'static {
    /// The usage of an account as of the latest commit. Reads memory only.
    fn usage(&self, account: &Account) -> AccountUsage;

    /// The account with the highest usage; `None` if no account has any. Reads memory only.
    fn largest(&self) -> Option<(Account, AccountUsage)>;
}
