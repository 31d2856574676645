//! Questions to the control plane that are answered at once, such as whose token this is: posted, with a few attempts, a limit on
//! the time that they take and on how many are under way.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{info, warn};

use super::error_message;
use crate::telemetry::OnChange;

/// Where reviews of one kind are posted.
pub struct ReviewClient<K> {
    api: Api<K>,
    in_flight: Semaphore,
    pending: Semaphore,
    outage: Mutex<OutageLog>,
}

/// The outcome of the last review and the times of the last log lines, so that an outage is logged
/// once, and many short ones at intervals.
#[derive(Debug)]
struct OutageLog {
    is_failing: OnChange<bool>,
    logged: Option<Instant>,
    overflow_logged: Option<Instant>,
}

/// A review could not be made. This decides nothing about what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The control plane says no, or cannot be reached.
    #[error("the control plane could not be asked: {text}")]
    Failed {
        /// The HTTP status, where there was an answer.
        code: Option<u16>,
        /// What happened.
        text: String,
    },
    /// There are too many questions.
    #[error("too many questions wait for the control plane")]
    TooManyPending,
    /// There was no answer in time.
    #[error("the control plane did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// The longest that a review may take, attempts and pauses included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many may wait for their turn.
const MAX_PENDING: usize = 400;
/// The shortest time between two log lines about outages.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The attempts after the first one, if that fails in a way that may pass.
const RETRIES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(400)).with_factor(1.5).with_max_times(4);

impl<K> ReviewClient<K>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    /// Reviews by this client, so many at a time; some more may wait, within the limit of time.
    pub fn new(client: Client, in_flight: usize) -> Self {
        let (in_flight, pending) = (Semaphore::new(in_flight), Semaphore::new(MAX_PENDING));
        Self { api: Api::all(client), in_flight, pending, outage: Mutex::new(OutageLog::none()) }
    }

    /// Posts a review and hands back what came of it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, review: &K) -> Result<K, ReviewError> {
        let Ok(pending) = self.pending.try_acquire() else {
            self.log_overflow();
            return Err(ReviewError::TooManyPending);
        };
        let outcome = match tokio::time::timeout(TIMEOUT, self.post_with_retries(review, pending)).await {
            Ok(outcome) => {
                outcome.map_err(|error| ReviewError::Failed { code: code_of(&error), text: error_message(&error) })
            }
            Err(_) => Err(ReviewError::TimedOut),
        };
        self.log(&outcome);
        outcome
    }

    async fn post_with_retries(&self, review: &K, pending: SemaphorePermit<'_>) -> kube::Result<K> {
        let _turn = self.in_flight.acquire().await.expect("nobody closes the semaphore");
        drop(pending);
        let params = PostParams::default();
        (|| self.api.create(&params, review)).retry(RETRIES).when(is_transient).await
    }

    fn log_overflow(&self) {
        let mut outage = self.outage.lock();
        if outage.overflow_logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            outage.overflow_logged = Some(Instant::now());
            warn!(kind = %K::kind(&()), waiting = MAX_PENDING, "too many reviews wait for the control plane, more are refused");
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
            Err(error) if error.code() == Some(403) => warn!(
                %kind, %error,
                "a review is forbidden: bind the ClusterRole system:auth-delegator to the user of this server"
            ),
            Err(error) => warn!(%kind, %error, "a review failed"),
            Ok(_) => info!(%kind, "reviews succeed again"),
        }
    }
}

impl OutageLog {
    fn none() -> Self {
        Self { is_failing: OnChange::from_initial(false), logged: None, overflow_logged: None }
    }
}

impl ReviewError {
    /// The HTTP status of the answer, where there was one.
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

/// Whether another attempt may do better: no connection, or a server that says so of itself.
fn is_transient(error: &kube::Error) -> bool {
    code_of(error).is_none_or(|code| code >= 500 || code == 429)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use k8s_openapi::api::authentication::v1::TokenReview;

    /// A control plane that never answers.
    fn hanging() -> Client {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn full_queue_refuses_at_once_and_leaving_frees_a_place() {
        let reviews = ReviewClient::<TokenReview>::new(hanging(), 1);
        let review = TokenReview::default();
        let mut first = Box::pin(reviews.post(&review));
        assert!((&mut first).now_or_never().is_none());
        let mut others = Box::pin(join_all((0..MAX_PENDING).map(|_| reviews.post(&review))));
        assert!((&mut others).now_or_never().is_none());
        assert!(matches!(reviews.post(&review).now_or_never(), Some(Err(ReviewError::TooManyPending))));
        drop(others);
        assert!(reviews.post(&review).now_or_never().is_none());
    }
}
