//! Revisioned bytes: the part of etcd that Kubernetes relies on, as one small trait.
//!
//! This layer knows keys, values and revisions, but neither Kubernetes nor JSON nor images, and uses no
//! other layer. [`Store`] is the contract of every backend; `tests/store.rs` verifies each promise on
//! each backend. Abilities that a backend may lack are traits of their own: [`Compact`], [`Backup`],
//! [`Scan`], [`DiskUsage`]. [`open()`] opens a store with its abilities, [`maintenance()`] works on the
//! folder of a stopped one, and [`in_memory()`] makes one for tests. Only [`mod@open`] names backends.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub mod archive;
mod backup;
mod compaction;
mod disk_usage;
pub mod embedded;
mod error;
mod health;
mod incident;
mod maintenance;
pub mod open;
pub mod private_file;
mod scan;

pub use archive::{ArchiveError, ArchiveHead, ArchiveReader, ArchiveSummary};
pub use backup::{Backup, BackupError};
pub use compaction::Compact;
pub use disk_usage::{DiskUsage, FileSize, FileStats, FreeSpace, RESERVE_BYTES, Reserve, free_space};
pub use embedded::{FileOpener, OpenFile};
pub use error::{OpenError, StoreError, WatchError};
pub use health::StoreHealth;
pub use incident::{Incident, Observer};
pub use maintenance::{DefragReport, FsckReport, Maintenance, Problems, RestoreError, RestoreOptions, Restored};
pub use open::{Backend, OpenOptions, Opened, in_memory, maintenance, open};
pub use scan::{Scan, ScanProgress, ScanVisitor, Scanner, ValueChange};

/// A store of revisioned bytes.
///
/// # Contract
///
/// *Order.* Every transaction that changes something receives a [`Revision`] greater than that of every earlier one.
/// All its changes share that revision. There are no gaps that a reader could mistake for a lost commit: what exists at
/// revision R is what the transactions up to R left behind.
///
/// *Durability.* [`Outcome::Committed`] is answered only once the transaction survives the loss of the process and of
/// the machine. Readers and watchers never see a transaction before that.
///
/// *Freshness.* A read that starts after a commit was acknowledged, or after another read has shown it, sees it.
///
/// *Guards.* A transaction is applied whole, if all its guards hold, or not at all. Nothing comes between the check of
/// the guards and the changes. A refusal hands back what is there for every guard that failed, so that the caller need
/// not read again.
///
/// *Snapshots.* A range at revision R sees exactly the commits up to R, whatever is written later. Hence the pages of one
/// listing, read at the revision of the first page, fit together.
///
/// *Watching.* A watch after R delivers every change under its prefix that was committed after R: in the order of
/// revisions, within a revision in the order of the transaction, exactly once. R may lie in the future; then the watch
/// waits.
///
/// *Compaction.* `compact(C)` forgets what only revisions below C can see. Ranges at and watches after a revision below
/// C fail with `Compacted`, at once and for good. They never show a gap. C itself stays readable. The present state of
/// every key is kept whatever its age. A new store counts as compacted up to its first revision.
///
/// *Errors.* After `Invalid`, `Full`, `Compacted` and `Future` nothing was done. After any other error of
/// [`Store::commit`] it is open whether the transaction has been made.
///
/// *Going away.* Reads may be dropped at any time. A [`Store::commit`] that is dropped may be made all the same.
pub trait Store: Send + Sync + 'static {
    /// The present entry of a key, or [`Lookup::Unchanged`] when its revision is the one that the caller `known`s
    /// already.
    fn get<'a>(&'a self, key: &'a Key, known: Option<Revision>) -> BoxFuture<'a, Result<Lookup, StoreError>>;

    /// The entries under a prefix in the order of their keys, as of one revision.
    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// What a page would hold and how much follows it, as of one revision. Reads keys only, no values.
    fn outline(&self, range: Range) -> BoxFuture<'_, Result<Outline, StoreError>>;

    /// Applies a transaction if its guards hold.
    ///
    /// A transaction that changes nothing (no changes, or only deletions of missing keys) takes no revision and answers
    /// the current one. A key may occur in one change only.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>>;

    /// The changes under a prefix that are committed after a revision.
    ///
    /// Errors, such as a revision that is compacted already, come from [`Watch::next`].
    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch>;

    /// The revision of the latest commit.
    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// The revision of the latest commit, where that is known without asking anybody; none otherwise.
    ///
    /// What was read after this was the latest revision is still so while it is: nobody has seen a later commit yet.
    fn latest(&self) -> Option<Revision>;
}

/// A stream of changes, see [`Store::watch`].
pub trait Watch: Send {
    /// The next changes, at least one; waits until there are some.
    ///
    /// May be dropped at any time without losing a change. After an error every further call fails as well.
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, WatchError>>;

    /// Every change up to this revision has been delivered. Moves on while [`Watch::next`] waits, also over commits
    /// outside of the prefix: a client that has seen everything up to here may come back with this revision.
    fn revision(&self) -> Revision;
}

/// Position in the one total order of commits. Never 0 for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The longest key that a store accepts, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value that a store accepts, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// A key, for instance `/images/sha256:…`. Ordered by its bytes. Cheap to clone.
///
/// A key that can be stored is not empty, holds no NUL and has at most [`MAX_KEY_BYTES`] bytes.
/// [`Store::commit`] answers `Invalid` to any other; a read finds nothing there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key with this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_storable(&self) -> bool {
        !self.0.is_empty() && self.0.len() <= MAX_KEY_BYTES && !self.0.as_bytes().contains(&0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the value is stored.
    pub key: Key,
    /// The bytes, as they were handed in.
    pub value: Bytes,
    /// The revision of the commit that wrote the value.
    pub revision: Revision,
}

/// What [`Store::get`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The key has no value.
    Missing,
    /// The value is the one that the caller knows already.
    Unchanged,
    /// The present value.
    Found(Entry),
}

/// The revision that a range looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum At {
    /// The latest commit.
    #[default]
    Now,
    /// Exactly the commits up to this one.
    Revision(Revision),
}

/// What to read with [`Store::range`] or [`Store::outline`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Range {
    /// Only keys that start with this text; all keys when empty.
    pub prefix: String,
    /// Only this key and those after it, for the pages after the first.
    pub start: Option<String>,
    /// How many entries at most; 0 for all of them.
    pub limit: usize,
    /// A page ends with the entry whose value makes all of its values together so many bytes or more; 0 for any number.
    /// An outline does not know it.
    pub bytes: usize,
    /// The revision to look at.
    pub at: At,
}

/// The answer of [`Store::range`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries in the order of their keys.
    pub entries: Vec<Entry>,
    /// The revision that was read; later pages name it in [`At::Revision`].
    pub revision: Revision,
    /// Whether entries follow after this page.
    pub more: bool,
}

/// The answer of [`Store::outline`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The revision that was read.
    pub revision: Revision,
    /// How many entries the page would hold.
    pub entries: u64,
    /// The key of the last of them.
    pub last: Option<Key>,
    /// How many entries follow it. Exact.
    pub remaining: u64,
}

/// A condition on the state that a transaction finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key has no value.
    Absent(Key),
    /// The key has a value, and exactly this revision wrote it.
    Unchanged(Key, Revision),
}

impl Guard {
    /// The key that the guard looks at.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }

    /// Whether the guard holds for a key whose value, if it has one, was written by `present`.
    fn holds(&self, present: Option<Revision>) -> bool {
        match self {
            Self::Absent(_) => present.is_none(),
            Self::Unchanged(_, revision) => present == Some(*revision),
        }
    }
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stores a value, whether the key has one or not.
    Put(Key, Bytes),
    /// Removes the value; no change when there is none.
    Delete(Key),
}

impl Change {
    /// The key that is changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Changes that are made together, if all guards hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Txn {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// All are made, in one revision; each names another key.
    pub changes: Vec<Change>,
}

impl Txn {
    /// Refuses what no store could hold or order, before any store sees it.
    fn validate(&self, max_value_bytes: usize) -> Result<(), StoreError> {
        let mut seen = HashSet::with_capacity(self.changes.len());
        self.changes.iter().try_for_each(|change| {
            let key = change.key();
            let reason = match change {
                _ if !key.is_storable() => format!("a key is 1 to {MAX_KEY_BYTES} bytes without NUL, unlike {key:.64}"),
                _ if !seen.insert(key) => format!("{key} occurs in two changes"),
                Change::Put(_, value) if value.len() > max_value_bytes => {
                    format!("the value of {key} has {} bytes, the most is {max_value_bytes}", value.len())
                }
                _ => return Ok(()),
            };
            Err(StoreError::Invalid { reason })
        })
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guards held and the changes are durable. Carries their revision.
    Committed(Revision),
    /// Nothing was changed. Carries the present state for every guard that failed, in the order of the guards.
    Refused(Vec<Current>),
}

/// What is there instead of what a guard wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The key of the guard.
    pub key: Key,
    /// Its present entry, if it has one.
    pub entry: Option<Entry>,
}

/// Changes in order, see [`Watch::next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The changes; never part of a transaction without the rest that lies under the prefix.
    pub events: Vec<Event>,
    /// Every change up to this revision has been delivered with this batch or before.
    pub revision: Revision,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A value was stored.
    Put {
        /// The new state.
        entry: Entry,
        /// The state that it replaced; `None` when the key had no value.
        previous: Option<Entry>,
    },
    /// A value was removed.
    Delete {
        /// The key that was removed.
        key: Key,
        /// The revision of the commit that removed it.
        revision: Revision,
        /// The state that was removed.
        previous: Entry,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { entry, .. } => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the commit that made the change.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put { entry, .. } => entry.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}
