//! Client for reviews, such as TokenReviews, with retries, a timeout and a fair limit.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::error_message;
use super::failure::Fault;
use crate::runtime::{FairLimit, Flow, MeteredLimiter};
use crate::telemetry::OnChange;
use crate::telemetry::flow_metrics::SharedLimit;
use crate::telemetry::metrics::Metrics;

/// Client for reviews of one kind.
pub struct ReviewClient<K> {
    api: Api<K>,
    in_flight: MeteredLimiter,
    outage: Mutex<OutageLog>,
    health: ReviewHealth,
}

/// Failure of the last review of one or more clients, for reports of the health.
#[derive(Clone, Debug, Default)]
pub struct ReviewHealth(Arc<Mutex<Option<Fault>>>);

/// Outcome of the last review and times of the last log lines, so that an outage is logged once,
/// and frequent short ones at intervals.
#[derive(Debug)]
struct OutageLog {
    is_failing: OnChange<bool>,
    logged: Option<Instant>,
    overflow_logged: Option<Instant>,
}

/// Failed review. It decides nothing about its subject.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The control plane refused the review or cannot be reached.
    #[error("the review by the control plane failed: {text}")]
    Failed {
        /// HTTP status of the response, if there was one.
        code: Option<u16>,
        /// Kind of the failure.
        fault: Fault,
        /// Message.
        text: String,
    },
    /// Too many reviews of the same flow are pending, or they take too long.
    #[error("too many reviews wait for the control plane")]
    TooManyPending,
    /// No response in time.
    #[error("no response of the control plane within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// Remedy if reviews are forbidden.
pub const DELEGATOR: &str = "bind the ClusterRole system:auth-delegator to this server's user (manifests/base/rbac-server.yaml)";
/// Timeout of a review, including retries.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for which a review waits to be sent.
const WAIT: Duration = Duration::from_secs(10);
/// Maximum number of reviews of one flow that wait to be sent.
const MAX_PENDING: usize = 512;
/// Minimum time between two log lines about outages.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Retries of transient failures, close to `DefaultAuthWebhookRetryBackoff` in
/// `k8s.io/apiserver/pkg/server/options/authentication.go`.
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(400))
    .with_factor(1.5)
    .with_max_times(4);

impl<K> ReviewClient<K>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    /// Client whose flows share `in_flight` reviews in flight. Up to `MAX_PENDING` more of each
    /// flow wait.
    pub fn new(client: Client, in_flight: u64, metrics: &Arc<Metrics>) -> Self {
        let limit = FairLimit { capacity: in_flight, queue: MAX_PENDING, wait: WAIT };
        let in_flight = MeteredLimiter::new(SharedLimit::Reviews, limit, metrics);
        let outage = Mutex::new(OutageLog::none());
        Self { api: Api::all(client), in_flight, outage, health: ReviewHealth::default() }
    }

    /// The same client, which reports its last review to this health.
    pub fn reporting_to(self, health: ReviewHealth) -> Self {
        Self { health, ..self }
    }

    /// Failure of the last review, which later reviews update.
    pub fn health(&self) -> ReviewHealth {
        self.health.clone()
    }

    /// Posts a review and returns it with its status.
    ///
    /// # Errors
    /// Too many pending reviews, a failure, or a timeout.
    pub async fn post(&self, flow: Flow, review: &K) -> Result<K, ReviewError> {
        let Ok(_place) = self.in_flight.acquire(flow, 1).await else {
            self.log_overflow(flow);
            return Err(ReviewError::TooManyPending);
        };
        let outcome = match tokio::time::timeout(TIMEOUT, self.post_with_retries(review)).await {
            Ok(outcome) => outcome.map_err(|error| ReviewError::Failed {
                code: code_of(&error),
                fault: Fault::of(&error),
                text: error_message(&error),
            }),
            Err(_) => Err(ReviewError::TimedOut),
        };
        *self.health.0.lock() = outcome.as_ref().err().and_then(ReviewError::fault);
        self.log(&outcome);
        outcome
    }

    async fn post_with_retries(&self, review: &K) -> kube::Result<K> {
        let params = PostParams::default();
        (|| self.api.create(&params, review)).retry(RETRIES).when(is_transient).await
    }

    fn log_overflow(&self, flow: Flow) {
        let mut outage = self.outage.lock();
        if outage.overflow_logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            outage.overflow_logged = Some(Instant::now());
            let (kind, level) = (K::kind(&()), flow.level.name());
            warn!(%kind, level, "too many pending reviews of a user or address; refusing more");
        }
    }

    fn log(&self, outcome: &Result<K, ReviewError>) {
        let kind = K::kind(&());
        let mut outage = self.outage.lock();
        if !outage.is_failing.record(outcome.is_err())
            || outage.logged.is_some_and(|logged| logged.elapsed() < LOG_INTERVAL)
        {
            return;
        }
        outage.logged = outcome.is_err().then(Instant::now);
        match outcome {
            Err(error) => {
                let remedy = error.fault().and_then(|fault| match fault {
                    Fault::Forbidden => Some(DELEGATOR),
                    fault => fault.remedy(),
                });
                warn!(%kind, %error, remedy, "a review failed");
            }
            Ok(_) => info!(%kind, "reviews succeed again"),
        }
    }
}

impl ReviewHealth {
    /// Kind of failure of the last review; `None` if it succeeded, or none was sent.
    pub fn fault(&self) -> Option<Fault> {
        *self.0.lock()
    }
}

impl OutageLog {
    fn none() -> Self {
        Self { is_failing: OnChange::from_initial(false), logged: None, overflow_logged: None }
    }
}

impl ReviewError {
    /// Kind of the failure; `None` if the review was not sent.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Failed { fault, .. } => Some(*fault),
            Self::TimedOut => Some(Fault::NoResponse),
            Self::TooManyPending => None,
        }
    }

    /// HTTP status of the response, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed { code, .. } => *code,
            Self::TimedOut | Self::TooManyPending => None,
        }
    }
}

fn code_of(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Returns true if a retry may succeed: no connection, status 429 or a server error.
fn is_transient(error: &kube::Error) -> bool {
    code_of(error).is_none_or(|code| code >= 500 || code == 429)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use k8s_openapi::api::authentication::v1::TokenReview;
    use std::num::NonZeroU32;

    use crate::runtime::PriorityLevel;

    /// Places of one user with a capacity of 16.
    const FLOW_OF_16: u64 = 3;

    /// Control plane that never responds.
    fn hanging() -> Client {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
        });
        Client::new(service, "default")
    }

    fn user(id: u64) -> Flow {
        Flow { level: PriorityLevel::Users, id, shares: NonZeroU32::MIN }
    }

    #[tokio::test]
    async fn full_queue_of_a_user_refuses_that_user_only() {
        let metrics = Arc::new(Metrics::new());
        let reviews = ReviewClient::<TokenReview>::new(hanging(), 16, &metrics);
        let in_flight = usize::try_from(FLOW_OF_16).unwrap();
        let review = TokenReview::default();
        let mut greedy = Box::pin(join_all(
            (0..in_flight + MAX_PENDING).map(|_| reviews.post(user(1), &review)),
        ));
        assert!((&mut greedy).now_or_never().is_none());
        let refused = reviews.post(user(1), &review).now_or_never();
        assert!(matches!(refused, Some(Err(ReviewError::TooManyPending))));
        let mut modest = Box::pin(reviews.post(user(2), &review));
        assert!((&mut modest).now_or_never().is_none());
        let name = "apiserver_flowcontrol_current_executing_requests";
        let labels = "priority_level=\"users\",limit=\"reviews\"";
        let expected = format!("{name}{{{labels}}} {}", FLOW_OF_16 + 1);
        assert!(metrics.text().contains(&expected), "{}", metrics.text());
        // A dropped review frees its place.
        drop(greedy);
        assert!(reviews.post(user(1), &review).now_or_never().is_none());
    }
}
