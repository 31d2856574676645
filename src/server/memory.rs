//! Memory for large bodies of requests and responses.
//!
//! It is limited, and a body that finds none is refused at once: however slowly clients write or
//! read, the server does not grow beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest body that is not counted, in bytes. The limits on requests bound their number.
pub(super) const SMALL: usize = 64 << 10;
/// Memory for bodies of requests, in bytes.
pub(super) const REQUESTS: usize = 128 << 20;
/// The estimate for a streamed body, whose size is unknown, in bytes: rows that were read, their
/// encoding, and data that waits for the client.
pub(super) const STREAMED: usize = 2 << 20;
/// Memory for bodies of responses, in bytes.
pub(super) const RESPONSES: usize = 256 << 20;

/// A limited amount of memory.
pub(super) struct Memory {
    most: usize,
    taken: AtomicUsize,
}

/// The share of one body. It is free again on drop.
pub(super) struct Share {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// Memory of `most` bytes.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// A share for a body of this size. None if others have taken too much. A body larger than the
    /// whole memory gets it while it is alone.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let bytes = counted(bytes);
        let fits = |taken: usize| {
            let after = taken.saturating_add(bytes);
            (bytes == 0 || taken == 0 || after <= self.most).then_some(after)
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Share { memory: self.clone(), bytes })
    }

    /// A share for a body that cannot be refused any more, even beyond the limit.
    pub(super) fn add(self: &Arc<Self>, bytes: usize) -> Share {
        let bytes = counted(bytes);
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Share { memory: self.clone(), bytes }
    }
}

fn counted(bytes: usize) -> usize {
    if bytes > SMALL { bytes } else { 0 }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
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
