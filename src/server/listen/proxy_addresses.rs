//! Addresses at which front proxies were verified.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Time for which an address is known after the last connection of a front proxy has ended.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// Maximum number of addresses: those of all API servers of a large cluster, a few times over.
const MAX_ADDRESSES: usize = 64;

/// The addresses of front proxies. Exact ones also for IPv6, because the nodes of a cluster share a
/// prefix.
#[derive(Debug, Default)]
pub(super) struct ProxyAddresses(HashMap<IpAddr, ProxyAddress>);

#[derive(Debug)]
struct ProxyAddress {
    /// Number of open connections.
    open: usize,
    /// Time of the last handshake or end of a connection.
    last_seen: Instant,
}

impl ProxyAddresses {
    /// Returns true if the address is that of a front proxy.
    pub(super) fn contains(&self, address: IpAddr, now: Instant) -> bool {
        self.0.get(&address).is_some_and(|known| !known.is_stale(now))
    }

    /// Records a connection. While all known addresses have connections and none can be replaced, a
    /// new one is not recorded.
    pub(super) fn opened(&mut self, address: IpAddr, now: Instant) {
        if !self.0.contains_key(&address) && self.0.len() >= MAX_ADDRESSES {
            let unused = self.0.iter().filter(|(_, known)| known.open == 0);
            let oldest = unused.min_by_key(|(_, known)| known.last_seen).map(|(oldest, _)| *oldest);
            let Some(oldest) = oldest else { return };
            self.0.remove(&oldest);
        }
        let known = self.0.entry(address).or_insert(ProxyAddress { open: 0, last_seen: now });
        known.open += 1;
        known.last_seen = now;
    }

    /// Records the end of a connection.
    pub(super) fn closed(&mut self, address: IpAddr, now: Instant) {
        if let Some(known) = self.0.get_mut(&address) {
            // Connections that were not recorded end as well.
            known.open = known.open.saturating_sub(1);
            known.last_seen = now;
        }
    }
}

impl ProxyAddress {
    fn is_stale(&self, now: Instant) -> bool {
        self.open == 0 && now.saturating_duration_since(self.last_seen) > KNOWN_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn an_address_is_known_for_an_hour_after_its_last_connection() {
        let (mut known, now) = (ProxyAddresses::default(), Instant::now());
        let later = now + 2 * KNOWN_FOR;
        assert!(!known.contains(address(1), now));
        known.opened(address(1), now);
        assert!(known.contains(address(1), later));
        known.closed(address(1), later);
        assert!(known.contains(address(1), later + KNOWN_FOR));
        assert!(!known.contains(address(1), later + KNOWN_FOR + Duration::from_secs(1)));
    }

    #[test]
    fn the_oldest_unused_address_is_replaced() {
        let (mut known, now) = (ProxyAddresses::default(), Instant::now());
        for number in 0..64 {
            known.opened(address(number), now);
        }
        known.opened(address(100), now);
        assert!(!known.contains(address(100), now));
        for (number, second) in [(7, 2), (5, 1), (9, 3)] {
            known.closed(address(number), now + Duration::from_secs(second));
        }
        known.opened(address(100), now);
        assert!(known.contains(address(100), now) && !known.contains(address(5), now));
        assert!(known.contains(address(7), now) && known.contains(address(9), now));
        assert_eq!(known.0.len(), 64);
    }
}
