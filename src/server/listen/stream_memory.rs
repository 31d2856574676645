//! Memory of the streams of an HTTP/2 connection.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::request_memory::{MemoryAccount, MemoryCharge};

/// Memory of a stream with a small request, until the client has read its response, in bytes:
/// state of h2 and hyper, the response, and its task. Measured with a flow control window of 0.
const STREAM_COST: usize = 16 << 10;
/// Memory of a decoded header field without its name and value, in bytes.
pub(super) const FIELD_COST: usize = 112;
/// Number of streams that are not charged.
const FREE_STREAMS: usize = 4;
/// Size of header blocks that are not charged, in bytes: one frame of the default size.
pub(super) const FREE_HEADERS: usize = 16 << 10;

/// The charge for the open streams of a connection.
pub(super) struct StreamMemory {
    charge: MemoryCharge,
    is_exhausted: Arc<AtomicBool>,
}

impl StreamMemory {
    pub(super) fn new(account: &Arc<MemoryAccount>) -> Self {
        Self { charge: account.charge(), is_exhausted: Arc::default() }
    }

    /// Returns a flag that is true while the streams exceed the memory.
    pub(super) fn is_exhausted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_exhausted)
    }

    /// Charges for open streams, and for the header blocks of requests without a response. Returns
    /// false if they exceed the memory.
    pub(super) fn update(&mut self, streams: usize, header_bytes: usize) -> bool {
        let streams = streams.saturating_sub(FREE_STREAMS).saturating_mul(STREAM_COST);
        let bytes = streams.saturating_add(header_bytes.saturating_sub(FREE_HEADERS));
        let fits = self.charge.resize(bytes);
        self.is_exhausted.store(!fits, Relaxed);
        fits
    }

    /// Records that the connection ends for lack of memory.
    pub(super) fn record_refusal(&self) {
        self.charge.record_refusal();
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_class::ClientClass;
    use super::super::request_memory::RequestMemory;
    use super::super::request_memory::tests::account;
    use super::*;

    #[test]
    fn streams_and_headers_beyond_the_allowance_are_charged() {
        let account = account(&RequestMemory::new(80 * STREAM_COST), ClientClass::Unverified);
        let mut memory = StreamMemory::new(&account);
        let is_exhausted = memory.is_exhausted();
        let mut other = account.charge();
        assert!(other.resize(10 * STREAM_COST));
        assert!(memory.update(FREE_STREAMS, FREE_HEADERS) && !is_exhausted.load(Relaxed));
        assert!(!memory.update(FREE_STREAMS + 1, FREE_HEADERS) && is_exhausted.load(Relaxed));
        assert!(!memory.update(FREE_STREAMS, FREE_HEADERS + 1) && is_exhausted.load(Relaxed));
        drop(other);
        assert!(memory.update(FREE_STREAMS + 8, FREE_HEADERS) && !is_exhausted.load(Relaxed));
        assert!(memory.update(1, 0));
    }
}
