//! One lock for each key, for work that waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Locks by key. A lock exists only while it is held or awaited. Waiters get it in their order.
pub struct KeyedMutex<K: Eq + Hash>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

/// A held lock. Dropping it releases the lock.
pub struct KeyedGuard<'a, K: Eq + Hash> {
    // Fields drop in this order: the lock is released before its entry is removed.
    _guard: OwnedMutexGuard<()>,
    _entry: KeyedEntry<'a, K>,
}

/// The entry of a lock that is held or awaited.
struct KeyedEntry<'a, K: Eq + Hash> {
    locks: &'a KeyedMutex<K>,
    key: K,
    lock: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl<K: Eq + Hash> Default for KeyedMutex<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> KeyedMutex<K> {
    /// Waits for the lock of a key.
    pub async fn lock(&self, key: K) -> KeyedGuard<'_, K> {
        let lock = self.0.lock().entry(key.clone()).or_default().clone();
        let entry = KeyedEntry { locks: self, key, lock: Some(lock.clone()) };
        KeyedGuard { _guard: lock.lock_owned().await, _entry: entry }
    }
}

impl<K: Eq + Hash> Drop for KeyedEntry<'_, K> {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock();
        self.lock = None;
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn equal_keys_wait_and_leave_nothing_behind() {
        let locks = KeyedMutex::default();
        let first = locks.lock("a").await;
        let other = locks.lock("b").now_or_never();
        assert!(other.is_some());
        assert!(locks.lock("a").now_or_never().is_none(), "it is held");
        drop((first, other));
        assert!(locks.lock("a").now_or_never().is_some());
        assert!(locks.0.lock().is_empty());
    }

    #[tokio::test]
    async fn waiter_that_gives_up_leaves_nothing_behind() {
        let locks = KeyedMutex::default();
        let first = locks.lock("a").await;
        let mut waiting = Box::pin(locks.lock("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(locks.0.lock().is_empty());
    }
}
