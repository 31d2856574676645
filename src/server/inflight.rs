//! How many requests are worked on at a time. More are turned away at once, so that overload is felt by the client and
//! not by the server's memory.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::endpoints::request_info::RequestKind;
use crate::telemetry::metrics::Metrics;

/// Flags of the limits on requests.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits and overload")]
pub struct Options {
    /// Maximum number of read requests in flight; further ones get 429.
    #[arg(long, value_name = "COUNT", default_value_t = 400, value_parser = at_least_one)]
    pub max_requests_inflight: usize,
    /// Maximum number of mutating requests in flight; further ones get 429.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = at_least_one)]
    pub max_mutating_requests_inflight: usize,
    /// Maximum number of open watches; further ones get 429.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = at_least_one)]
    pub max_watches: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "a whole number from 1 is needed".to_owned())
}

/// The requests that are being worked on.
pub(super) struct InFlight {
    reading: Lane,
    mutating: Lane,
    watching: Lane,
}

struct Lane {
    gauge: Gauge,
    permits: Arc<Semaphore>,
}

/// The right to work on one request.
pub(super) struct Permit {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    /// Nothing is being worked on.
    pub(super) fn new(options: Options, metrics: &Metrics) -> Self {
        let Options { max_requests_inflight, max_mutating_requests_inflight, max_watches } = options;
        let lane = |gauge, most: usize| {
            let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
            Lane { gauge, permits }
        };
        Self {
            reading: lane(metrics.in_flight("readOnly"), max_requests_inflight),
            mutating: lane(metrics.in_flight("mutating"), max_mutating_requests_inflight),
            // No work while nothing happens; what is published counts them by resource.
            watching: lane(Gauge::default(), max_watches),
        }
    }

    /// The right to work on a request of this kind, unless there are as many as there may be.
    pub(super) fn enter(&self, kind: RequestKind) -> Option<Permit> {
        match kind {
            RequestKind::ReadOnly => self.reading.enter(),
            RequestKind::Mutating => self.mutating.enter(),
        }
    }

    /// The right to go on with a watch, unless there are as many as there may be.
    pub(super) fn enter_watch(&self) -> Option<Permit> {
        self.watching.enter()
    }
}

impl Lane {
    fn enter(&self) -> Option<Permit> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        self.gauge.inc();
        Some(Permit { gauge: self.gauge.clone(), _permit: permit })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_request_has_a_limit_of_its_own() {
        let options = Options { max_requests_inflight: 1, max_mutating_requests_inflight: 1, max_watches: 1 };
        let limits = InFlight::new(options, &Metrics::new());
        let reading = limits.enter(RequestKind::ReadOnly).unwrap();
        assert!(limits.enter(RequestKind::ReadOnly).is_none());
        assert!(limits.enter(RequestKind::Mutating).is_some());
        let watching = limits.enter_watch().unwrap();
        assert!(limits.enter_watch().is_none());
        drop(watching);
        assert!(limits.enter_watch().is_some());
        drop(reading);
        assert!(limits.enter(RequestKind::ReadOnly).is_some());
    }
}
