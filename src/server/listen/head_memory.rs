//! Memory of the head (request line and headers) of an HTTP/1.1 request.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use parking_lot::Mutex;

use super::request_memory::{MemoryAccount, MemoryCharge};

/// Size of a head that is not charged, in bytes: the first buffer of hyper.
const ALLOWANCE: usize = 8 << 10;

/// The head that a connection is receiving, or that its current request holds.
pub(super) struct HeadMemory {
    received: AtomicUsize,
    charge: Mutex<MemoryCharge>,
    is_upgraded: AtomicBool,
}

impl HeadMemory {
    pub(super) fn new(account: &Arc<MemoryAccount>) -> Arc<Self> {
        Arc::new(Self {
            received: AtomicUsize::new(0),
            charge: Mutex::new(account.charge()),
            is_upgraded: AtomicBool::new(false),
        })
    }

    /// Starts a new head.
    pub(super) fn begin(&self) {
        self.release();
        self.received.store(0, Relaxed);
    }

    /// Counts bytes of the head. Returns false if they exceed the memory.
    pub(super) fn receive(&self, bytes: usize) -> bool {
        let received = self.received.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if received <= ALLOWANCE || self.is_upgraded.load(Relaxed) {
            return true;
        }
        let mut charge = self.charge.lock();
        let fits = charge.resize(received - ALLOWANCE);
        if !fits {
            charge.record_refusal();
        }
        fits
    }

    /// Number of bytes of the head, and of those behind it that arrived with it.
    pub(super) fn received(&self) -> usize {
        self.received.load(Relaxed)
    }

    /// Releases the memory: a response is ready, so the request has ended.
    pub(super) fn release(&self) {
        if self.received() > ALLOWANCE {
            let is_released = self.charge.lock().resize(0);
            debug_assert!(is_released, "a charge of nothing always fits");
        }
    }

    /// Stops counting: the connection has become a WebSocket.
    pub(super) fn upgrade(&self) {
        self.is_upgraded.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_class::ClientClass;
    use super::super::request_memory::RequestMemory;
    use super::super::request_memory::tests::account;
    use super::*;

    const LIMIT: usize = 1 << 20;
    /// Maximum of one address.
    const QUARTER: usize = LIMIT / 8;

    fn head() -> Arc<HeadMemory> {
        HeadMemory::new(&account(&RequestMemory::new(LIMIT), ClientClass::Unverified))
    }

    #[test]
    fn a_head_is_charged_beyond_its_allowance() {
        let head = head();
        assert!(head.receive(ALLOWANCE));
        assert!((0..QUARTER / 1024).all(|_| head.receive(1024)));
        assert!(!head.receive(1));
        assert_eq!(head.received(), ALLOWANCE + QUARTER + 1);
    }

    #[test]
    fn heads_of_a_connection_are_charged_one_by_one() {
        let head = head();
        for _ in 0..10 {
            head.begin();
            assert!(head.receive(QUARTER));
            head.release();
        }
        assert!(!head.receive(QUARTER));
    }

    #[test]
    fn an_upgraded_connection_is_not_charged() {
        let head = head();
        head.upgrade();
        assert!(head.receive(10 * QUARTER));
    }
}
