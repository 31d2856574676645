//! Exponential back-off for work that is retried until it succeeds.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Exponential back-off without an end: delays double up to the longest one.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBuilder,
    delays: ExponentialBackoff,
}

impl Backoff {
    /// Back-off from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let policy = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times();
        Self { policy, delays: policy.build() }
    }

    /// Delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.delays.next().expect("the number of delays is unlimited")
    }

    /// Starts over with the first delay.
    pub fn reset(&mut self) {
        self.delays = self.policy.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
        let mut delays =
            |count| (0..count).map(|_| backoff.next_delay().as_millis()).collect::<Vec<_>>();
        assert_eq!(delays(5), [200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_millis(), 200);
    }
}
