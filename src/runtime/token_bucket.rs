//! `TokenBucket`: a rate of events with bursts.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens, one for each event. It fills up at the rate, up to a burst.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Tokens in a second.
    rate: f64,
    burst: f64,
    /// Tokens at `at`. Negative if tokens of the future are reserved.
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket, for a positive rate in a second. The burst is at least one token.
    pub fn full(rate: f64, burst: f64, now: Instant) -> Self {
        let burst = burst.max(1.0);
        Self { rate, burst, tokens: burst, at: now }
    }

    /// Takes a token, and returns the time until it is there. `part` is the part of the rate that
    /// holds now, greater than 0 and at most 1.
    pub fn take(&mut self, now: Instant, part: f64) -> Duration {
        self.fill(now, part);
        self.tokens -= 1.0;
        Duration::from_secs_f64((-self.tokens / (self.rate * part)).max(0.0))
    }

    /// Takes a token if one is there.
    pub fn try_take(&mut self, now: Instant) -> bool {
        self.fill(now, 1.0);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }

    /// Returns true if the bucket has its whole burst.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now, 1.0);
        self.tokens >= self.burst
    }

    /// Empties the bucket, so that no burst follows.
    pub fn empty(&mut self) {
        self.tokens = self.tokens.min(0.0);
    }

    fn fill(&mut self, now: Instant, part: f64) {
        let saved = now.duration_since(self.at).as_secs_f64() * self.rate * part;
        self.tokens = (self.tokens + saved).min(self.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_free_and_the_rate_holds_after_it() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(2.0, 10.0, start);
        for _ in 0..10 {
            assert_eq!(bucket.take(start, 1.0), Duration::ZERO);
        }
        assert_eq!(bucket.take(start, 1.0), Duration::from_millis(500));
        assert_eq!(bucket.take(start, 1.0), Duration::from_secs(1));
        assert!(!bucket.try_take(start));
        let later = start + Duration::from_secs(60);
        assert!(bucket.is_full(later));
        for _ in 0..10 {
            assert!(bucket.try_take(later));
        }
        assert!(!bucket.try_take(later) && !bucket.is_full(later));
        assert_eq!(bucket.take(later, 0.5), Duration::from_secs(1), "half of the rate");
    }

    #[test]
    fn empty_bucket_has_no_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(0.1, 0.5, start);
        bucket.empty();
        assert_eq!(bucket.take(start, 1.0), Duration::from_secs(10));
        assert_eq!(bucket.take(start + Duration::from_secs(20), 1.0), Duration::ZERO);
    }
}
