//! The rate limit of stream resets on an HTTP/2 connection.
//!
//! A request that is reset costs the client nothing, but the server the start of its processing
//! (CVE-2023-44487, CVE-2025-8671). The limits of h2 are not rates: one counts over the life of a
//! connection, the other within one poll. This limit replaces them.

use std::time::{Duration, Instant};

/// Rate limit of resets: `per_second` on average over [`WINDOW`], with bursts up to the whole
/// window.
#[derive(Clone, Debug)]
pub(super) struct ResetRate {
    /// Time that one reset occupies.
    interval: Duration,
    /// End of the time that resets occupy.
    booked_until: Instant,
}

/// Period over which the rate is averaged.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

impl ResetRate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), booked_until: now }
    }

    /// Counts a reset. Returns true if it is within the rate.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        self.booked_until = self.booked_until.max(now) + self.interval;
        self.booked_until <= now + WINDOW
    }

    /// Clears the count.
    pub(super) fn clear(&mut self, now: Instant) {
        self.booked_until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_window_passes() {
        let now = Instant::now();
        let mut rate = ResetRate::new(1000, now);
        assert!((0..10_000).all(|_| rate.count(now)));
        assert!(!rate.count(now));
        rate.clear(now);
        assert!(rate.count(now));
    }

    #[test]
    fn a_steady_rate_passes() {
        let start = Instant::now();
        let mut rate = ResetRate::new(1000, start);
        assert!((0..100_000).all(|number| rate.count(start + Duration::from_millis(number))));
        // Twice the rate exceeds the limit after one window.
        let start = start + Duration::from_secs(100);
        let first = (0..).find(|number| !rate.count(start + Duration::from_micros(500 * number)));
        assert!(first.is_some_and(|first| (15_000..=20_100).contains(&first)), "{first:?}");
    }
}
