//! The rate limit of TLS handshakes from one address.
//!
//! A handshake costs the server a key exchange and a signature, and a client that verifies nothing
//! close to nothing. A resumed session saves the signature only, and is known to be one only after
//! the work, so it counts as well.

use std::time::{Duration, Instant};

/// A token bucket that holds the handshakes of [`BURST`].
#[derive(Clone, Debug)]
pub(super) struct HandshakeRate {
    /// End of the time that booked handshakes occupy.
    booked_until: Instant,
}

/// Time whose handshakes may start at once.
const BURST: Duration = Duration::from_secs(2);

impl HandshakeRate {
    pub(super) fn new(now: Instant) -> Self {
        Self { booked_until: now }
    }

    /// Books a handshake, and returns the time to wait before it; none if that exceeds `max_delay`.
    pub(super) fn book(
        &mut self,
        per_second: u32,
        max_delay: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let booked_until = self.booked_until.max(now) + interval;
        let delay = booked_until.saturating_duration_since(now + BURST.max(interval));
        if delay > max_delay {
            return None;
        }
        self.booked_until = booked_until;
        Some(delay)
    }

    /// Returns true if no handshake is booked, so that the state equals that of a new address.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.booked_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn handshakes_wait_after_a_burst() {
        let now = Instant::now();
        let mut rate = HandshakeRate::new(now);
        assert!((0..200).all(|_| rate.book(100, Duration::ZERO, now) == Some(Duration::ZERO)));
        assert_eq!(rate.book(100, Duration::ZERO, now), None);
        assert_eq!(rate.book(100, SECOND, now), Some(SECOND / 100));
        assert_eq!(rate.book(100, SECOND, now), Some(SECOND / 50));
        assert_eq!(rate.book(100, SECOND, now + SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn refused_handshakes_are_not_booked() {
        let now = Instant::now();
        let mut rate = HandshakeRate::new(now);
        let passed = (0..1000).filter(|_| rate.book(10, SECOND, now).is_some()).count();
        assert_eq!(passed, 30);
        assert!(!rate.is_idle(now + 2 * SECOND));
        assert!(rate.is_idle(now + 3 * SECOND));
    }

    #[test]
    fn the_slowest_rate_admits_a_first_handshake() {
        let now = Instant::now();
        let mut rate = HandshakeRate::new(now);
        assert_eq!(rate.book(0, Duration::ZERO, now), Some(Duration::ZERO));
    }
}
