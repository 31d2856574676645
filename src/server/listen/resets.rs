//! The rate of stream resets that a connection of HTTP/2 may cause.
//!
//! A reset request costs its client nothing, and the server the start of an exchange (CVE-2023-44487, CVE-2025-8671).
//! The limits of h2 know no time: one counts over the life of a connection, the other what comes in one turn. So they
//! are set out of reach, and this takes their place.

use std::time::{Duration, Instant};

/// Resets that a connection may cause: `per_second` on average over `WINDOW`, all of them at once if it likes.
#[derive(Clone, Debug)]
pub(super) struct ResetRate {
    /// The time that one reset takes up.
    interval: Duration,
    /// The end of the time that is taken up.
    booked_until: Instant,
}

/// The time over which the rate counts.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

impl ResetRate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), booked_until: now }
    }

    /// Counts a reset. Whether it is within the rate.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        self.booked_until = self.booked_until.max(now) + self.interval;
        self.booked_until <= now + WINDOW
    }

    /// Forgets the resets so far.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.booked_until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_ten_seconds_passes_and_no_more() {
        let now = Instant::now();
        let mut rate = ResetRate::new(1000, now);
        assert!((0..10_000).all(|_| rate.count(now)));
        assert!(!rate.count(now));
        rate.forgive(now);
        assert!(rate.count(now));
    }

    #[test]
    fn the_rate_itself_passes_for_ever() {
        let start = Instant::now();
        let mut rate = ResetRate::new(1000, start);
        assert!((0..100_000).all(|number| rate.count(start + Duration::from_millis(number))));
        // Twice the rate is too much after as long as the window.
        let start = start + Duration::from_secs(100);
        let first = (0..).find(|number| !rate.count(start + Duration::from_micros(500 * number)));
        assert!(first.is_some_and(|first| (15_000..=20_100).contains(&first)), "{first:?}");
    }
}
