//! A fair limiter with metrics.

use std::sync::Arc;
use std::time::Instant;

use super::fair_limiter::{FairLimit, FairLimiter, FairShare, LevelUsage, Refusal};
use super::flow::{Flow, PriorityLevel};
use crate::telemetry::flow_metrics::{LevelSample, SharedLimit};
use crate::telemetry::metrics::Metrics;

/// A [`FairLimiter`] whose use, waiting times and refusals are metrics.
#[derive(Clone)]
pub struct MeteredLimiter {
    limiter: Arc<FairLimiter>,
    limit: SharedLimit,
    metrics: Arc<Metrics>,
}

impl MeteredLimiter {
    /// A limiter with all of its capacity free. Limiters of the same name add up in metrics.
    pub fn new(limit: SharedLimit, options: FairLimit, metrics: &Arc<Metrics>) -> Self {
        let limiter = FairLimiter::new(options);
        let observed = Arc::downgrade(&limiter);
        metrics.flows().observe(limit, move || {
            observed.upgrade().map(|limiter| samples(&limiter)).unwrap_or_default()
        });
        Self { limiter, limit, metrics: metrics.clone() }
    }

    /// Takes an amount without waiting. See [`FairLimiter::try_acquire`].
    ///
    /// # Errors
    /// The amount does not fit. This is counted as a refusal.
    pub fn try_acquire(&self, flow: Flow, amount: u64) -> Result<FairShare, Refusal> {
        let share = self.limiter.try_acquire(flow, amount);
        share.ok_or(Refusal::AtLimit).inspect_err(|refusal| self.record(flow, *refusal))
    }

    /// Takes an amount, after waiting if necessary. See [`FairLimiter::acquire`].
    ///
    /// # Errors
    /// The queue of the flow is full, or the time is over. This is counted as a refusal.
    pub async fn acquire(&self, flow: Flow, amount: u64) -> Result<FairShare, Refusal> {
        match self.limiter.try_acquire(flow, amount) {
            Some(share) => Ok(share),
            // Boxed, because few requests get here.
            None => Box::pin(self.wait(flow, amount)).await,
        }
    }

    /// Takes an amount for work that has begun. See [`FairLimiter::acquire_continued`].
    pub async fn acquire_continued(&self, flow: Flow, amount: u64) -> FairShare {
        match self.limiter.try_acquire(flow, amount) {
            Some(share) => share,
            None => {
                let begun = Instant::now();
                let share = Box::pin(self.limiter.acquire_continued(flow, amount)).await;
                let (level, waited) = (flow.level.name(), begun.elapsed());
                self.metrics.flows().record_wait(self.limit, level, waited);
                share
            }
        }
    }

    /// The limiter.
    pub fn limiter(&self) -> &Arc<FairLimiter> {
        &self.limiter
    }

    async fn wait(&self, flow: Flow, amount: u64) -> Result<FairShare, Refusal> {
        let begun = Instant::now();
        let outcome = self.limiter.acquire(flow, amount).await;
        let (level, waited) = (flow.level.name(), begun.elapsed());
        match &outcome {
            Ok(_) => self.metrics.flows().record_wait(self.limit, level, waited),
            Err(refusal) => self.record(flow, *refusal),
        }
        outcome
    }

    fn record(&self, flow: Flow, refusal: Refusal) {
        let (level, reason) = (flow.level.name(), refusal.reason());
        self.metrics.flows().record_rejection(self.limit, level, reason);
    }
}

fn samples(limiter: &FairLimiter) -> Vec<LevelSample> {
    let usage = PriorityLevel::ALL.into_iter().zip(limiter.usage());
    let sample = |(level, usage): (PriorityLevel, LevelUsage)| LevelSample {
        level: level.name(),
        executing: usage.held,
        waiting: usage.waiting as u64,
    };
    usage.map(sample).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn refusals_and_waits_are_counted() {
        let metrics = Arc::new(Metrics::new());
        let options = FairLimit { capacity: 1, queue: 1, wait: Duration::from_millis(50) };
        let limiter = MeteredLimiter::new(SharedLimit::Writes, options, &metrics);
        let flow = Flow { level: PriorityLevel::Users, id: 7, shares: NonZeroU32::MIN };
        let share = limiter.acquire(flow, 1).await.unwrap();
        assert_eq!(limiter.try_acquire(flow, 1).unwrap_err(), Refusal::AtLimit);
        assert_eq!(limiter.acquire(flow, 1).await.unwrap_err(), Refusal::TimedOut);
        let labels = "priority_level=\"users\",limit=\"writes\"";
        let text = metrics.text();
        for line in [
            format!("current_executing_requests{{{labels}}} 1"),
            format!("current_inqueue_requests{{{labels}}} 0"),
            format!("rejected_requests_total{{{labels},reason=\"concurrency-limit\"}} 1"),
            format!("rejected_requests_total{{{labels},reason=\"time-out\"}} 1"),
        ] {
            assert!(text.contains(&format!("apiserver_flowcontrol_{line}\n")), "{line} in {text}");
        }
        let (waiting, ()) = tokio::join!(limiter.acquire(flow, 1), async { drop(share) });
        let name = "apiserver_flowcontrol_request_wait_duration_seconds_count";
        assert!(metrics.text().contains(&format!("{name}{{{labels}}} 1\n")), "{}", metrics.text());
        drop((waiting, limiter));
        assert!(!metrics.text().contains("current_executing_requests{"));
    }
}
