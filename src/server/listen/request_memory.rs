//! Memory that requests hold before authentication: header bytes, and streams whose response the
//! client does not read.
//!
//! Connections of all clients but front proxies share it. Each connection has a small allowance
//! that is not counted, so ordinary requests never come here. Clients with the certificate of a
//! user may use all of the memory, others half of it, and one address a quarter of that.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::client_class::ClientClass;
use super::refusals::Refusals;
use crate::telemetry::connection_metrics::ConnectionRefusal;

/// Granularity of charges in bytes, so that most requests of a connection change nothing.
const STEP: usize = 16 << 10;

/// The memory that connections share.
#[derive(Debug)]
pub(super) struct RequestMemory {
    limit: usize,
    used: AtomicUsize,
}

/// The part of the memory that one source address uses, in bytes.
#[derive(Debug, Default)]
pub(super) struct SourceUsage(AtomicUsize);

/// The access of one connection to the memory.
pub(super) struct MemoryAccount {
    memory: Arc<RequestMemory>,
    source: Arc<SourceUsage>,
    /// Maximum that all connections of the class may use together with those of lower classes.
    max: usize,
    address: IpAddr,
    refusals: Arc<Refusals>,
}

/// Memory that is in use. Released on drop.
pub(super) struct MemoryCharge {
    account: Arc<MemoryAccount>,
    bytes: usize,
}

impl RequestMemory {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }
}

impl MemoryAccount {
    /// The account of a connection from an address.
    pub(super) fn new(
        memory: &Arc<RequestMemory>,
        source: &Arc<SourceUsage>,
        class: ClientClass,
        address: IpAddr,
        refusals: &Arc<Refusals>,
    ) -> Arc<Self> {
        let max = match class {
            ClientClass::Unverified => memory.limit / 2,
            ClientClass::User | ClientClass::FrontProxy => memory.limit,
        };
        let (memory, source) = (Arc::clone(memory), Arc::clone(source));
        Arc::new(Self { memory, source, max, address, refusals: Arc::clone(refusals) })
    }

    /// A charge of nothing.
    pub(super) fn charge(self: &Arc<Self>) -> MemoryCharge {
        MemoryCharge { account: Arc::clone(self), bytes: 0 }
    }

    /// Records a request that was refused for lack of memory.
    pub(super) fn record_refusal(&self) {
        self.refusals.record(ConnectionRefusal::Memory, self.address);
    }

    fn take(&self, bytes: usize) -> bool {
        let within =
            |max: usize| move |used: usize| used.checked_add(bytes).filter(|&after| after <= max);
        let source = &self.source.0;
        if source.fetch_update(Relaxed, Relaxed, within(self.max / 4)).is_err() {
            return false;
        }
        let is_taken = self.memory.used.fetch_update(Relaxed, Relaxed, within(self.max)).is_ok();
        if !is_taken {
            source.fetch_sub(bytes, Relaxed);
        }
        is_taken
    }

    fn give_back(&self, bytes: usize) {
        self.source.0.fetch_sub(bytes, Relaxed);
        self.memory.used.fetch_sub(bytes, Relaxed);
    }
}

impl MemoryCharge {
    /// Changes the charge to this number of bytes. Returns false, and changes nothing, if that
    /// exceeds the memory.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let Some(bytes) = bytes.checked_next_multiple_of(STEP) else { return false };
        if bytes > self.bytes {
            if !self.account.take(bytes - self.bytes) {
                return false;
            }
            self.bytes = bytes;
        } else if bytes + STEP < self.bytes || (bytes == 0 && self.bytes > 0) {
            self.account.give_back(self.bytes - bytes);
            self.bytes = bytes;
        }
        true
    }

    /// Records that the memory does not suffice.
    pub(super) fn record_refusal(&self) {
        self.account.record_refusal();
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An account of a new address.
    pub(in crate::server::listen) fn account(
        memory: &Arc<RequestMemory>,
        class: ClientClass,
    ) -> Arc<MemoryAccount> {
        let address = [192, 0, 2, 1].into();
        MemoryAccount::new(memory, &Arc::default(), class, address, &Arc::default())
    }

    #[test]
    fn an_address_has_a_quarter_and_strangers_half() {
        let memory = RequestMemory::new(32 * STEP);
        let mut held = Vec::new();
        let mut take_all = |class| {
            let account = account(&memory, class);
            let mut count = 0;
            loop {
                let mut charge = account.charge();
                if !charge.resize(STEP) {
                    return count;
                }
                count += 1;
                held.push(charge);
            }
        };
        let strangers: Vec<_> = (0..5).map(|_| take_all(ClientClass::Unverified)).collect();
        assert_eq!(strangers, [4, 4, 4, 4, 0]);
        let users: Vec<_> = (0..3).map(|_| take_all(ClientClass::User)).collect();
        assert_eq!(users, [8, 8, 0]);
        assert_eq!(memory.used.load(Relaxed), 32 * STEP);
        held.clear();
        assert_eq!(memory.used.load(Relaxed), 0);
    }

    #[test]
    fn a_charge_that_does_not_fit_stays() {
        let memory = RequestMemory::new(32 * STEP);
        let account = account(&memory, ClientClass::User);
        let mut charge = account.charge();
        assert!(charge.resize(7 * STEP + 1));
        assert_eq!(memory.used.load(Relaxed), 8 * STEP);
        assert!(!charge.resize(8 * STEP + 1));
        assert!(!charge.resize(usize::MAX));
        assert_eq!(memory.used.load(Relaxed), 8 * STEP);
        // Small changes are free of cost.
        assert!(charge.resize(7 * STEP));
        assert_eq!(memory.used.load(Relaxed), 8 * STEP);
        assert!(charge.resize(5 * STEP));
        assert_eq!(memory.used.load(Relaxed), 5 * STEP);
        assert!(charge.resize(0));
        assert_eq!((memory.used.load(Relaxed), account.source.0.load(Relaxed)), (0, 0));
    }

    #[test]
    fn a_refusal_by_the_total_returns_the_part_of_the_address() {
        let memory = RequestMemory::new(8 * STEP);
        let accounts: Vec<_> = (0..5).map(|_| account(&memory, ClientClass::Unverified)).collect();
        let mut charges: Vec<_> = accounts.iter().map(|account| account.charge()).collect();
        let taken: Vec<_> = charges.iter_mut().map(|charge| charge.resize(STEP)).collect();
        assert_eq!(taken, [true, true, true, true, false]);
        assert_eq!(accounts[4].source.0.load(Relaxed), 0);
        charges.remove(0);
        assert!(charges[3].resize(STEP));
    }
}
