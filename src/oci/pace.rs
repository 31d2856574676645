//! `RegistryPace`: the part of its usual pace at which a registry gets requests.

use std::time::Duration;

use tokio::time::Instant;

/// Time in which a pace grows from zero to the usual one.
const RECOVERY: Duration = Duration::from_secs(300);
/// Smallest part.
const SLOWEST: f64 = 1.0 / 32.0;

/// A part of the usual pace. A registry that is overloaded halves it; it grows again with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegistryPace {
    /// The part at `since`.
    part: f64,
    since: Instant,
}

impl RegistryPace {
    /// The usual pace.
    pub(super) fn usual(now: Instant) -> Self {
        Self { part: 1.0, since: now }
    }

    /// Returns the part, greater than 0 and at most 1.
    pub(super) fn part(&self, now: Instant) -> f64 {
        let recovered = now.duration_since(self.since).as_secs_f64() / RECOVERY.as_secs_f64();
        (self.part + recovered).min(1.0)
    }

    /// Halves the pace because of the result of a request that was sent at `sent`. Results of
    /// requests from before the last reduction say nothing about the pace since then.
    pub(super) fn halve(&mut self, now: Instant, sent: Instant) {
        if sent >= self.since {
            *self = Self { part: (self.part(now) / 2.0).max(SLOWEST), since: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_halved_once_for_a_burst_and_recovers() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = RegistryPace::usual(start);
        assert_eq!(pace.part(at(1)), 1.0);
        pace.halve(at(2), at(1));
        pace.halve(at(3), at(1));
        assert!((0.5..0.51).contains(&pace.part(at(3))));
        pace.halve(at(3), at(3));
        assert!((0.25..0.26).contains(&pace.part(at(3))));
        assert!((0.4..0.6).contains(&pace.part(at(78))));
        assert_eq!(pace.part(at(300)), 1.0);
    }

    #[test]
    fn pace_never_ends_at_zero() {
        let start = Instant::now();
        let mut pace = RegistryPace::usual(start);
        for _ in 0..50 {
            pace.halve(start, start);
        }
        assert_eq!(pace.part(start), SLOWEST);
    }
}
