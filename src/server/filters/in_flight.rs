//! Limits on the number of requests in flight. Further requests get 429 at once, so that an
//! overload costs clients time and not the server memory.

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
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "a whole number from 1 is needed".to_owned())
}

/// The limits on requests in flight, one for each kind.
pub(crate) struct RequestLimits {
    reading: InFlightLimit,
    mutating: InFlightLimit,
    watching: InFlightLimit,
}

struct InFlightLimit {
    gauge: Gauge,
    permits: Arc<Semaphore>,
}

/// Permission for a request to be in flight, released on drop.
pub(super) struct Permit {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl RequestLimits {
    /// The limits of these flags, with no request in flight.
    pub(crate) fn new(options: Options, metrics: &Metrics) -> Self {
        let Options { max_requests_inflight, max_mutating_requests_inflight, max_watches } =
            options;
        let limit = |gauge, most: usize| {
            let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
            InFlightLimit { gauge, permits }
        };
        Self {
            reading: limit(metrics.in_flight("readOnly"), max_requests_inflight),
            mutating: limit(metrics.in_flight("mutating"), max_mutating_requests_inflight),
            // `apiserver_longrunning_requests` counts watches, by resource.
            watching: limit(Gauge::default(), max_watches),
        }
    }

    /// A permit for a request of this kind; none at the limit.
    pub(super) fn admit(&self, kind: RequestKind) -> Option<Permit> {
        match kind {
            RequestKind::ReadOnly => self.reading.try_acquire(),
            RequestKind::Mutating => self.mutating.try_acquire(),
        }
    }

    /// A permit for a watch, which replaces that of its request; none at the limit.
    pub(super) fn admit_watch(&self) -> Option<Permit> {
        self.watching.try_acquire()
    }
}

impl InFlightLimit {
    fn try_acquire(&self) -> Option<Permit> {
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
        let options =
            Options { max_requests_inflight: 1, max_mutating_requests_inflight: 1, max_watches: 1 };
        let limits = RequestLimits::new(options, &Metrics::new());
        let reading = limits.admit(RequestKind::ReadOnly).unwrap();
        assert!(limits.admit(RequestKind::ReadOnly).is_none());
        assert!(limits.admit(RequestKind::Mutating).is_some());
        let watching = limits.admit_watch().unwrap();
        assert!(limits.admit_watch().is_none());
        drop(watching);
        assert!(limits.admit_watch().is_some());
        drop(reading);
        assert!(limits.admit(RequestKind::ReadOnly).is_some());
    }
}
