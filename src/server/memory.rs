//! Memory for large bodies, on their way in or out. There is only so much of it, and whoever comes when it is taken is
//! turned away at once: however slowly clients write or read, the server does not grow beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bodies up to this size are not counted, in bytes. The limits on requests bound their number.
pub(super) const SMALL: usize = 64 << 10;
/// For bodies of requests, in bytes.
pub(super) const REQUESTS: usize = 128 << 20;
/// What a body counts for that is made while it is sent, whose size is not known: rows that were read, what is made of them,
/// and what waits for the client.
pub(super) const STREAMED: usize = 2 << 20;
/// For bodies of answers, in bytes.
pub(super) const ANSWERS: usize = 256 << 20;

/// So much memory.
pub(super) struct Memory {
    most: usize,
    taken: AtomicUsize,
}

/// A part of it, for one body; given back on drop.
pub(super) struct Share {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// So many bytes, none of them taken.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// A share for a body of this size, unless others have taken too much. One that is larger than everything gets it
    /// while it is alone.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let bytes = counted(bytes);
        let fits = |taken: usize| {
            let after = taken.saturating_add(bytes);
            (bytes == 0 || taken == 0 || after <= self.most).then_some(after)
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Share { memory: self.clone(), bytes })
    }

    /// A share for a body that cannot be refused any more, whatever others have taken.
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
    fn one_that_cannot_be_refused_counts_against_the_others() {
        let memory = Memory::new(3 * SMALL);
        let _first = memory.take(2 * SMALL).unwrap();
        let second = memory.add(2 * SMALL);
        assert!(memory.take(SMALL + 1).is_none());
        drop(second);
        let _small = memory.take(SMALL).unwrap();
    }

    #[test]
    fn one_that_is_larger_than_everything_gets_it_while_it_is_alone() {
        let memory = Memory::new(3 * SMALL);
        let huge = memory.take(usize::MAX).unwrap();
        assert!(memory.take(SMALL + 1).is_none());
        drop(huge);
        let _small = memory.take(2 * SMALL).unwrap();
        assert!(memory.take(usize::MAX).is_none());
    }
}
