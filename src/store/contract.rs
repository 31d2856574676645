//! The contract of a store, and of its watches.

use futures_util::future::BoxFuture;

#[cfg(doc)]
use super::Compact;
use super::{
    Batch, Key, Lookup, Outcome, Outline, Page, Range, ReadPoint, Revision, StoreError, Txn,
    WatchError,
};

/// A store of revisioned bytes.
///
/// # Contract
///
/// *Order.* Every transaction that changes a key gets a [`Revision`] greater than every earlier
/// one. All its changes share that revision. The state at revision R is the result of all
/// transactions up to R.
///
/// *Durability.* [`Outcome::Committed`] is returned only once the transaction survives the loss of
/// the process and of the machine. Readers and watchers never see a transaction before that.
///
/// *Freshness.* A read sees every commit that was acknowledged, or visible to another read, before
/// the read started.
///
/// *Guards.* A transaction is applied completely if all its guards hold, or not at all. No other
/// transaction is applied between the check of the guards and the changes. A refusal carries the
/// current state for every guard that failed, so that the caller need not read again.
///
/// *Snapshots.* A range at revision R sees exactly the commits up to R. The pages of one list, read
/// at the revision of the first page, are therefore consistent.
///
/// *Watching.* A watch after R delivers every change under its prefix with a revision above R
/// exactly once, in the order of revisions and, within a revision, of the transaction. R may be in
/// the future; the watch then waits.
///
/// *Compaction.* Compaction to C removes everything that only revisions below C can see, see
/// [`Compact`]. Ranges at and watches after a revision below C fail with `Compacted` from then on,
/// and never show a gap. C itself stays readable, and every key keeps its current value. A new
/// store counts as compacted to its first revision.
///
/// *Accounts.* A transaction may be charged to an account, see [`super::Charge`]. A key belongs to
/// the account that wrote it first, until the key is deleted: that account is charged for the
/// bytes of the key and of its current value. The value that a transaction replaces or deletes is
/// charged to the account of the transaction instead, until it is compacted. A key that belongs to
/// no account belongs to the account that writes it next; until then nobody is charged for it, nor
/// for its replaced value. A backend that implements [`super::Accounting`] refuses a transaction
/// that is [`super::Charge::Limited`], stores a value, and would raise its account above the limit
/// of the store, with `AccountFull`.
///
/// *Terms.* A transaction with a [`TermGuard`](super::TermGuard) is applied only while the term
/// lasts, else it fails with `TermOver`. Only the store that granted the term accepts the guard.
///
/// *Errors.* `Invalid`, `TooLarge`, `Full`, `AccountFull`, `TermOver`, `Compacted`, `Future` and
/// `Unreachable` guarantee that nothing was changed. After any other error of [`Store::commit`] the
/// transaction may or may not have been applied.
///
/// *Damage.* A damaged value fails only the reads that need it, with `Damaged`. [`Store::get`] with
/// the revision of the value as `known` needs none, nor does a transaction that guards, replaces or
/// deletes it.
///
/// *Cancellation.* Reads may be dropped at any time. A [`Store::commit`] that is dropped may still
/// be applied.
///
/// # Example
///
/// ```
/// use imagestream_apiserver::store::{self, Change, Guard, Key, Lookup, Outcome, Txn};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = store::in_memory().unwrap().store;
/// let key = Key::new("/images/one");
/// let create = Txn {
///     guards: vec![Guard::Absent(key.clone())],
///     changes: vec![Change::Put(key.clone(), "value".into())],
///     ..Txn::default()
/// };
/// let outcome = store.commit(create.clone()).await.unwrap();
/// let Outcome::Committed(revision) = outcome else { panic!() };
/// let Lookup::Found(entry) = store.get(&key, None).await.unwrap() else { panic!() };
/// assert_eq!(entry.revision, revision);
///
/// // The guard no longer holds.
/// assert!(matches!(store.commit(create).await.unwrap(), Outcome::Refused(_)));
/// # });
/// ```
pub trait Store: Send + Sync + 'static {
    /// The current entry of a key, or [`Lookup::Unchanged`] if its revision is `known`.
    fn get<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>>;

    /// Like [`Store::get`], for one of several reads of a request. A read after the first one need
    /// only be as fresh as that one, and shows nothing older than they have shown.
    fn get_since<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
        point: &'a ReadPoint,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        let _ = point;
        self.get(key, known)
    }

    /// The entry of a key that this process has in memory, or [`Lookup::Missing`] if the key had no
    /// value; `None` if only [`Store::get`] can tell.
    ///
    /// A later commit may have replaced it, so only a transaction that guards the key may depend on
    /// it.
    fn get_cached(&self, key: &Key) -> Option<Lookup> {
        let _ = key;
        None
    }

    /// The entries under a prefix in the order of their keys, as of one revision.
    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// The size of a page and the number of entries after it, as of one revision. Reads no values.
    fn outline(&self, range: Range) -> BoxFuture<'_, Result<Outline, StoreError>>;

    /// Applies a transaction if its guards hold.
    ///
    /// A transaction that changes nothing, with no changes or only deletions of missing keys, gets
    /// no revision of its own and returns the latest one.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>>;

    /// The changes under a prefix after a revision.
    ///
    /// Errors, such as a compacted revision, come from [`Watch::next`].
    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch>;

    /// The revision of the latest commit.
    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// The number of changes that a transaction may have at least. etcd allows 128 operations by
    /// default.
    fn max_changes(&self) -> usize {
        100
    }

    /// The bytes of keys and values that a transaction may have at least.
    fn max_bytes(&self) -> u64 {
        1 << 20
    }

    /// The revision of the latest commit if it is known without I/O; `None` otherwise.
    ///
    /// A value that was read at or after this revision is current as long as this method returns
    /// it: no reader has seen a later commit.
    fn latest(&self) -> Option<Revision>;

    /// The current values under a prefix that an earlier read has found damaged, in the order of
    /// their keys. Reads no values; other values may be damaged too.
    fn known_damage(&self, prefix: &str) -> Vec<(Key, Revision)> {
        let _ = prefix;
        Vec::new()
    }
}

/// A stream of changes, see [`Store::watch`].
pub trait Watch: Send {
    /// Waits for the next changes and returns at least one.
    ///
    /// May be dropped at any time without losing a change. After an error every later call fails
    /// too.
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, WatchError>>;

    /// The revision up to which every change was delivered. Rises while [`Watch::next`] waits, also
    /// for commits outside of the prefix: a client may resume a watch after it.
    fn revision(&self) -> Revision;
}
