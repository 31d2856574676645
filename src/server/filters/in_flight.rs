//! Fair limits on the number of requests in flight.
//!
//! Each user has a part of each limit that others cannot take. A request beyond it waits for a
//! short time, as in API Priority and Fairness, then gets 429. So an overload costs time of the
//! clients that cause it, not memory of the server or time of others.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use crate::endpoints::request_info::RequestKind;
use crate::runtime::{FairLimit, FairShare, Flow, MeteredLimiter, Refusal};
use crate::telemetry::flow_metrics::SharedLimit;
use crate::telemetry::metrics::Metrics;

/// Flags of the limits on requests.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits and overload")]
pub struct Options {
    /// Maximum number of read requests in flight, which users share.
    ///
    /// A user can have up to 3/16 of a limit. Further requests of that user wait for up to a
    /// quarter of --request-timeout, then get 429. Users together leave a quarter to the components
    /// of the cluster; clients without credentials share a sixteenth.
    #[arg(long, value_name = "COUNT", default_value_t = 400, value_parser = at_least_one)]
    pub max_requests_inflight: u32,
    /// Maximum number of mutating requests in flight, which users share.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = at_least_one)]
    pub max_mutating_requests_inflight: u32,
    /// Maximum number of open watches, which users share; further ones get 429 at once.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = at_least_one)]
    pub max_watches: u32,
}

/// The limits on requests in flight, one for each kind.
pub(crate) struct RequestLimits {
    reading: InFlightLimit,
    mutating: InFlightLimit,
    watching: MeteredLimiter,
}

struct InFlightLimit {
    gauge: Gauge,
    limiter: MeteredLimiter,
}

/// Permission for a request to be in flight, released on drop.
pub(super) struct Permit {
    gauge: Gauge,
    _place: FairShare,
}

/// The maximum number of requests of one user that wait. A client has a few hundred requests at a
/// time on one connection of HTTP/2.
const MAX_WAITING: usize = 512;

fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "a whole number from 1 is needed".to_owned())
}

impl RequestLimits {
    /// The limits of these flags, with no request in flight.
    pub(crate) fn new(options: Options, request_timeout: Duration, metrics: &Arc<Metrics>) -> Self {
        let Options { max_requests_inflight, max_mutating_requests_inflight, max_watches } =
            options;
        // As `requestWaitLimit` in k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go.
        let wait = request_timeout / 4;
        let limit = |kind, limit, capacity: u32| {
            let fair = FairLimit { capacity: capacity.into(), queue: MAX_WAITING, wait };
            let limiter = MeteredLimiter::new(limit, fair, metrics);
            InFlightLimit { gauge: metrics.in_flight(kind), limiter }
        };
        let watches = FairLimit { capacity: max_watches.into(), queue: 0, wait: Duration::ZERO };
        Self {
            reading: limit("readOnly", SharedLimit::Reads, max_requests_inflight),
            mutating: limit("mutating", SharedLimit::Writes, max_mutating_requests_inflight),
            // `apiserver_longrunning_requests` counts watches, by resource.
            watching: MeteredLimiter::new(SharedLimit::Watches, watches, metrics),
        }
    }

    /// A permit for a request of this kind, after waiting if necessary.
    ///
    /// # Errors
    /// Too many requests of the flow wait, or the wait takes too long.
    pub(super) async fn admit(&self, kind: RequestKind, flow: Flow) -> Result<Permit, Refusal> {
        let limit = match kind {
            RequestKind::ReadOnly => &self.reading,
            RequestKind::Mutating => &self.mutating,
        };
        let place = limit.limiter.acquire(flow, 1).await?;
        limit.gauge.inc();
        Ok(Permit { gauge: limit.gauge.clone(), _place: place })
    }

    /// A place for a watch, which replaces the permit of its request.
    ///
    /// # Errors
    /// The flow has too many watches, or all flows together have.
    pub(super) fn admit_watch(&self, flow: Flow) -> Result<FairShare, Refusal> {
        self.watching.try_acquire(flow, 1)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroU32;

    use futures_util::FutureExt;

    use super::*;
    use crate::runtime::PriorityLevel;

    /// Limits with one place for each user, and three for all users.
    pub(in crate::server::filters) fn narrow() -> RequestLimits {
        let options =
            Options { max_requests_inflight: 4, max_mutating_requests_inflight: 4, max_watches: 4 };
        RequestLimits::new(options, Duration::from_secs(60), &Arc::new(Metrics::new()))
    }

    pub(in crate::server::filters) fn user(id: u64) -> Flow {
        Flow { level: PriorityLevel::Users, id, shares: NonZeroU32::MIN }
    }

    /// A permit of the user 1, if it needs no waiting.
    pub(in crate::server::filters) fn permit(
        limits: &RequestLimits,
        kind: RequestKind,
    ) -> Option<Permit> {
        limits.admit(kind, user(1)).now_or_never()?.ok()
    }

    #[tokio::test]
    async fn each_kind_of_request_has_a_limit_of_its_own() {
        let limits = narrow();
        let reading = permit(&limits, RequestKind::ReadOnly).unwrap();
        assert!(permit(&limits, RequestKind::ReadOnly).is_none());
        assert!(permit(&limits, RequestKind::Mutating).is_some());
        let watching = limits.admit_watch(user(1)).unwrap();
        assert_eq!(limits.admit_watch(user(1)).unwrap_err(), Refusal::AtLimit);
        assert!(limits.admit_watch(user(2)).is_ok());
        drop(watching);
        assert!(limits.admit_watch(user(1)).is_ok());
        drop(reading);
        assert!(permit(&limits, RequestKind::ReadOnly).is_some());
    }

    #[tokio::test]
    async fn user_at_the_limit_waits_and_others_do_not() {
        let limits = narrow();
        let reading = permit(&limits, RequestKind::ReadOnly).unwrap();
        let mut waiting = Box::pin(limits.admit(RequestKind::ReadOnly, user(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(limits.admit(RequestKind::ReadOnly, user(2)).now_or_never().unwrap().is_ok());
        drop(reading);
        assert!(waiting.now_or_never().unwrap().is_ok());
    }
}
