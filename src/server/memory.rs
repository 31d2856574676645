//! The memory budget for large bodies of requests and responses.
//!
//! A body that exceeds the budget is rejected at once, so slow clients cannot exhaust the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Size of the largest body that needs no share, in bytes. Request limits bound the number of such
/// bodies.
pub(super) const SMALL: usize = 64 << 10;
/// Memory for bodies of requests, in bytes.
pub(super) const REQUESTS: usize = 128 << 20;
/// The estimate for a streamed body, whose size is unknown, in bytes: rows that were read, their
/// encoding, and data that waits for the client.
pub(super) const STREAMED: usize = 2 << 20;
/// Memory for bodies of responses, in bytes.
pub(super) const RESPONSES: usize = 256 << 20;

/// A memory budget.
pub(super) struct Memory {
    limit: usize,
    used: AtomicUsize,
}

/// The share of one body, released on drop.
pub(super) struct Share {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// A budget of `limit` bytes.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// A share for a body of this size; none if it exceeds the budget. A body larger than the whole
    /// budget gets a share if there is no other.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let bytes = accounted(bytes);
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (bytes == 0 || used == 0 || after <= self.limit).then_some(after)
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Share { memory: self.clone(), bytes })
    }

    /// A share for a body that can no longer be rejected, even beyond the limit.
    pub(super) fn add(self: &Arc<Self>, bytes: usize) -> Share {
        let bytes = accounted(bytes);
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Share { memory: self.clone(), bytes }
    }
}

fn accounted(bytes: usize) -> usize {
    if bytes > SMALL { bytes } else { 0 }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhausted_memory_refuses_all_but_small_bodies() {
        let memory = Memory::new(3 * SMALL);
        let first = memory.take(2 * SMALL).unwrap();
        assert!(memory.take(SMALL + 1).is_none());
        assert!(memory.take(SMALL).is_some());
        drop(first);
        assert!(memory.take(SMALL + 1).is_some());
    }

    #[test]
    fn a_share_beyond_the_limit_counts() {
        let memory = Memory::new(3 * SMALL);
        let _first = memory.take(2 * SMALL).unwrap();
        let second = memory.add(2 * SMALL);
        assert!(memory.take(SMALL + 1).is_none());
        drop(second);
        let _small = memory.take(SMALL).unwrap();
    }

    #[test]
    fn a_body_larger_than_the_memory_gets_it_alone() {
        let memory = Memory::new(3 * SMALL);
        let huge = memory.take(usize::MAX).unwrap();
        assert!(memory.take(SMALL + 1).is_none());
        drop(huge);
        let _small = memory.take(2 * SMALL).unwrap();
        assert!(memory.take(usize::MAX).is_none());
    }
}
