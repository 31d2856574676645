//! Delays between attempts to import an image.

use std::time::Duration;

/// Longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Class of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The network, an error of the server, or a rate limit: the same request may succeed soon.
    Transient,
    /// The registry refused the request, or its content is invalid: somebody must change something.
    Refused,
    /// No request was sent, because the registry demands a pause or others come first.
    Throttled,
}

/// Delays between attempts. Random numbers are arguments, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Interval between checks of a scheduled tag.
    pub interval: Duration,
    /// Delays after transient failures.
    pub transient: DelayRange,
    /// Delays after refusals.
    pub refused: DelayRange,
}

/// Delays that double with each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayRange {
    /// Delay after the first attempt.
    pub first: Duration,
    /// Longest delay.
    pub longest: Duration,
}

impl RetryPolicy {
    /// The delays for checks at an interval. Failures are repeated after 10 seconds to 15 minutes if
    /// they are transient, else after one minute to one hour.
    pub fn with_interval(interval: Duration) -> Self {
        let seconds = Duration::from_secs;
        let transient = DelayRange { first: seconds(10), longest: seconds(15 * 60) };
        let refused = DelayRange { first: seconds(60), longest: seconds(60 * 60) };
        Self { interval, transient, refused }
    }

    /// The time until the next check of a tag that was imported: the interval, 20 % more or less, so
    /// that tags do not stay in step.
    pub fn until_check(&self, random: f64) -> Duration {
        self.interval.mul_f64(0.8 + 0.4 * random)
    }

    /// The time until an attempt that is overdue after a start. Such attempts are spread over an
    /// interval.
    pub fn until_overdue(&self, random: f64) -> Duration {
        self.interval.mul_f64(random)
    }

    /// The time until the attempt after `attempts` failed ones, the last of this class. It is never
    /// shorter than `retry_after`, the demand of the registry.
    pub fn until_retry(
        &self,
        class: FailureClass,
        attempts: u32,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Duration {
        let DelayRange { first, longest } = match class {
            FailureClass::Transient | FailureClass::Throttled => self.transient,
            FailureClass::Refused => self.refused,
        };
        let doublings = attempts.saturating_sub(1).min(31);
        let delay = first.saturating_mul(1 << doublings).min(longest);
        let demanded = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        delay.max(demanded).mul_f64(1.0 + 0.2 * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> RetryPolicy {
        RetryPolicy::with_interval(900 * SECOND)
    }

    #[test]
    fn delays_double_up_to_the_longest_of_their_class() {
        let delays = |class| {
            [1, 2, 3, 7, 8, 1000].map(|tries| policy().until_retry(class, tries, None, 0.0))
        };
        let seconds = |all: [u64; 6]| all.map(Duration::from_secs);
        assert_eq!(delays(FailureClass::Transient), seconds([10, 20, 40, 640, 900, 900]));
        assert_eq!(delays(FailureClass::Refused), seconds([60, 120, 240, 3600, 3600, 3600]));
    }

    #[test]
    fn retry_after_is_the_shortest_delay_within_a_day() {
        let after = |demanded| {
            policy().until_retry(
                FailureClass::Transient,
                1,
                Some(Duration::from_secs(demanded)),
                0.0,
            )
        };
        assert_eq!([after(5), after(77)], [10 * SECOND, 77 * SECOND]);
        assert_eq!(after(u64::MAX), 24 * 3600 * SECOND);
    }

    #[test]
    fn checks_are_up_to_a_fifth_early_or_late() {
        let bounds = [policy().until_check(0.0), policy().until_check(1.0)];
        assert_eq!(bounds, [720 * SECOND, 1080 * SECOND]);
        assert_eq!(policy().until_overdue(0.5), 450 * SECOND);
    }
}
