//! Shared parts of the store tests: an environment to run a store in, and helpers for common steps.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imagestream_apiserver::store::{
    At, Batch, Change, Compact, Entry, Guard, Key, Lookup, Outcome, Page, Range, Revision, Store,
    StoreError, StoreHealth, Txn, Watch, WatchError,
};

/// Store with the abilities that the contract covers.
pub(crate) trait TestStore: Store + Compact + StoreHealth {}

impl<S: Store + Compact + StoreHealth> TestStore for S {}

/// Empty store that can be closed and reopened.
pub(crate) trait Lab: Sized + Send {
    /// New, empty store.
    fn start() -> impl Future<Output = Self> + Send;
    /// Store under test.
    fn store(&self) -> Arc<dyn TestStore>;
    /// The same content behind a new handle. All old handles must have been dropped.
    fn reopen(self) -> impl Future<Output = Self> + Send;
}

/// Fails the test instead of hanging.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .expect("the operation ends within the deadline")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text)
}

pub(crate) fn put(at: &str, value: &str) -> Change {
    Change::Put(key(at), Bytes::copy_from_slice(value.as_bytes()))
}

pub(crate) fn delete(at: &str) -> Change {
    Change::Delete(key(at))
}

pub(crate) fn entry(at: &str, value: &str, revision: Revision) -> Entry {
    Entry { key: key(at), value: Bytes::copy_from_slice(value.as_bytes()), revision }
}

/// Common steps, each with a deadline.
pub(crate) trait Steps {
    /// Commits changes without guards.
    async fn make(&self, changes: Vec<Change>) -> Revision;
    /// Commits under guards.
    async fn attempt(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Outcome;
    /// Current entry.
    async fn entry(&self, at: &str) -> Option<Entry>;
    /// All entries under a prefix at a revision.
    async fn list(&self, prefix: &str, at: At) -> Result<Page, StoreError>;
    /// Latest revision.
    async fn now(&self) -> Revision;
}

impl Steps for Arc<dyn TestStore> {
    async fn make(&self, changes: Vec<Change>) -> Revision {
        match self.attempt(Vec::new(), changes).await {
            Outcome::Committed(revision) => revision,
            refused @ Outcome::Refused(_) => panic!("refused without a guard: {refused:?}"),
        }
    }

    async fn attempt(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Outcome {
        within(self.commit(Txn { guards, changes, ..Txn::default() })).await.unwrap()
    }

    async fn entry(&self, at: &str) -> Option<Entry> {
        match within(self.get(&key(at), None)).await.unwrap() {
            Lookup::Found(entry) => Some(entry),
            Lookup::Missing => None,
            Lookup::Unchanged => panic!("the read has no known revision"),
        }
    }

    async fn list(&self, prefix: &str, at: At) -> Result<Page, StoreError> {
        within(self.range(Range { prefix: prefix.to_owned(), at, ..Range::default() })).await
    }

    async fn now(&self) -> Revision {
        within(self.current()).await.unwrap()
    }
}

/// `key=value` of every entry, for short comparisons.
pub(crate) fn brief(page: &Page) -> Vec<String> {
    page.entries
        .iter()
        .map(|entry| format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)))
        .collect()
}

/// Next batch, with a deadline.
pub(crate) async fn next(watch: &mut dyn Watch) -> Result<Batch, WatchError> {
    within(watch.next()).await
}
