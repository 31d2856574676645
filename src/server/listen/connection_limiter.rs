//! Limits on connections and TLS handshakes, in total and for each source address.
//!
//! They apply before a client can prove anything. A client that opens many connections therefore
//! finds its limit early, and leaves room to others: an address may hold a quarter as many
//! connections as are free, and the first connection of an address is admitted until the last one
//! is taken (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking, 1998).
//!
//! Front proxies are exempt, because they carry the requests of many users. Their connections count
//! until the handshake proves the certificate, and the address is exempt from then on, so that
//! other clients cannot lock it out. A connection from such an address that turns out to be of
//! another client counts from the end of its handshake.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::client_class::ClientClass;
use super::handshake_rate::HandshakeRate;
use super::proxy_addresses::ProxyAddresses;
use super::request_memory::SourceUsage;
use super::source_address::SourceAddress;
use crate::telemetry::connection_metrics::{ConnectionMetrics, ConnectionRefusal};

/// Maximum number of addresses without connections whose handshakes are still counted.
const MAX_IDLE_SOURCES: usize = 4096;

/// Number of connections that must be free for each one that an address holds.
const FREE_PER_HELD: usize = 4;

/// The limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimit {
    /// Maximum number of connections.
    pub(super) total: usize,
    /// Maximum number of connections from one address.
    pub(super) per_address: usize,
    /// Maximum rate of TLS handshakes from one address, per second.
    pub(super) handshakes_per_address: u32,
}

/// Counts connections and handshakes. Locked when a connection begins and ends, never by requests.
pub(super) struct ConnectionLimiter {
    limit: ConnectionLimit,
    state: Mutex<Counts>,
    metrics: ConnectionMetrics,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    sources: HashMap<SourceAddress, Source>,
    /// Sources that had no connection when they were added, oldest first.
    idle: VecDeque<SourceAddress>,
    proxies: ProxyAddresses,
}

/// The connections from one address.
struct Source {
    connections: usize,
    handshakes: HandshakeRate,
    usage: Arc<SourceUsage>,
    is_in_idle: bool,
}

/// A connection that was admitted. Released on drop.
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
    kind: PermitKind,
}

enum PermitKind {
    /// A connection within the limits.
    Counted(Arc<SourceUsage>),
    /// A connection from the address of a front proxy, before the end of its handshake.
    Exempt,
    /// A connection of a front proxy.
    FrontProxy,
}

impl ConnectionLimiter {
    pub(super) fn new(limit: ConnectionLimit, metrics: ConnectionMetrics) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default(), metrics })
    }

    /// Admits a connection.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<ConnectionPermit, ConnectionRefusal> {
        let mut state = self.state.lock();
        let kind = match state.proxies.contains(address, now) {
            true => PermitKind::Exempt,
            false => PermitKind::Counted(state.take(address.into(), self.limit, now)?),
        };
        drop(state);
        self.metrics.open().inc();
        Ok(ConnectionPermit { limiter: Arc::clone(self), address, kind })
    }
}

impl ConnectionPermit {
    /// Returns true if the handshake is exempt from limits.
    pub(super) fn is_exempt(&self) -> bool {
        !matches!(self.kind, PermitKind::Counted(_))
    }

    /// Books a TLS handshake, and returns the time to wait before it.
    ///
    /// # Errors
    /// The time would exceed `max_delay`.
    pub(super) fn book_handshake(
        &self,
        max_delay: Duration,
        now: Instant,
    ) -> Result<Duration, ConnectionRefusal> {
        if self.is_exempt() {
            return Ok(Duration::ZERO);
        }
        let per_second = self.limiter.limit.handshakes_per_address;
        let mut state = self.limiter.state.lock();
        let source = state.sources.get_mut(&self.address.into());
        let source = source.expect("a source with a counted connection is kept");
        source.handshakes.book(per_second, max_delay, now).ok_or(ConnectionRefusal::Handshakes)
    }

    /// Applies the class that the handshake proved.
    ///
    /// # Errors
    /// The limit that the connection exceeds, if it was exempt so far.
    pub(super) fn classify(
        &mut self,
        class: ClientClass,
        now: Instant,
    ) -> Result<(), ConnectionRefusal> {
        let limit = self.limiter.limit;
        let mut state = self.limiter.state.lock();
        let (is_counted, is_proxy) = (!self.is_exempt(), class == ClientClass::FrontProxy);
        if is_proxy {
            if is_counted {
                state.give_back(self.address.into(), now);
            }
            state.proxies.opened(self.address, now);
            self.kind = PermitKind::FrontProxy;
        } else if !is_counted {
            self.kind = PermitKind::Counted(state.take(self.address.into(), limit, now)?);
        }
        Ok(())
    }

    /// The memory that requests from the address use; none for a front proxy.
    pub(super) fn usage(&self) -> Option<&Arc<SourceUsage>> {
        match &self.kind {
            PermitKind::Counted(usage) => Some(usage),
            PermitKind::Exempt | PermitKind::FrontProxy => None,
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.limiter.state.lock();
        match self.kind {
            PermitKind::Counted(_) => state.give_back(self.address.into(), now),
            PermitKind::FrontProxy => state.proxies.closed(self.address, now),
            PermitKind::Exempt => {}
        }
        drop(state);
        self.limiter.metrics.open().dec();
    }
}

impl Counts {
    /// Counts a connection.
    fn take(
        &mut self,
        address: SourceAddress,
        limit: ConnectionLimit,
        now: Instant,
    ) -> Result<Arc<SourceUsage>, ConnectionRefusal> {
        let open = self.sources.get(&address).map_or(0, |source| source.connections);
        if open >= limit.per_address {
            return Err(ConnectionRefusal::ConnectionsOfAddress);
        }
        let free = limit.total.saturating_sub(self.connections);
        if free == 0 || open >= (free / FREE_PER_HELD).max(1) {
            return Err(ConnectionRefusal::Connections);
        }
        self.forget_idle(limit, now);
        self.connections += 1;
        let source = self.sources.entry(address).or_insert_with(|| Source::new(now));
        source.connections += 1;
        Ok(Arc::clone(&source.usage))
    }

    fn give_back(&mut self, address: SourceAddress, now: Instant) {
        self.connections -= 1;
        let source = self.sources.get_mut(&address);
        let source = source.expect("a source with a counted connection is kept");
        source.connections -= 1;
        if source.connections > 0 || source.is_in_idle {
            return;
        }
        if source.handshakes.is_idle(now) {
            self.sources.remove(&address);
        } else {
            source.is_in_idle = true;
            self.idle.push_back(address);
        }
    }

    /// Removes sources without connections whose handshakes need no count any more. Looks at two of
    /// them for each new connection, so that their number falls.
    fn forget_idle(&mut self, limit: ConnectionLimit, now: Instant) {
        let max = MAX_IDLE_SOURCES.min(limit.total);
        for _ in 0..2 {
            let Some(address) = self.idle.pop_front() else { return };
            let Some(source) = self.sources.get_mut(&address) else { continue };
            if source.connections > 0 {
                source.is_in_idle = false;
            } else if source.handshakes.is_idle(now) || self.idle.len() >= max {
                self.sources.remove(&address);
            } else {
                self.idle.push_back(address);
            }
        }
    }
}

impl Source {
    fn new(now: Instant) -> Self {
        Self {
            connections: 0,
            handshakes: HandshakeRate::new(now),
            usage: Arc::default(),
            is_in_idle: false,
        }
    }
}

#[cfg(test)]
mod tests;
