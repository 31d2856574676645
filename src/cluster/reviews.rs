//! Questions to the control plane that are answered at once, such as whose token this is: posted, with a few attempts, a limit on
//! the time that they take and on how many are under way.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{info, warn};

use super::told;

/// Where reviews of one kind are posted.
pub struct Reviews<K> {
    api: Api<K>,
    under_way: Semaphore,
    /// Whether the last one failed, so that each outage is told once.
    outage: AtomicBool,
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
    /// There was no answer in time.
    #[error("the control plane did not answer within {} s", LIMIT.as_secs())]
    TimedOut,
}

/// The longest that a review may take, attempts and pauses included.
const LIMIT: Duration = Duration::from_secs(10);
/// How many may be under way; more of them wait, within the limit.
const MOST: usize = 100;
/// How often one is tried again after a failure that may pass, after pauses that grow by half each.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(400);

impl<K> Reviews<K>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    /// Reviews by this client.
    pub fn new(client: Client) -> Self {
        Self { api: Api::all(client), under_way: Semaphore::new(MOST), outage: AtomicBool::new(false) }
    }

    /// Posts a review and hands back what came of it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, review: &K) -> Result<K, ReviewError> {
        let outcome = match tokio::time::timeout(LIMIT, self.try_to_post(review)).await {
            Ok(outcome) => outcome.map_err(|error| ReviewError::Failed { code: code_of(&error), text: told(&error) }),
            Err(_) => Err(ReviewError::TimedOut),
        };
        self.tell(&outcome);
        outcome
    }

    async fn try_to_post(&self, review: &K) -> kube::Result<K> {
        let _turn = self.under_way.acquire().await.expect("nobody closes the semaphore");
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS {
            match self.api.create(&PostParams::default(), review).await {
                Err(error) if may_pass(&error) => sleep(pause).await,
                outcome => return outcome,
            }
            pause = pause * 3 / 2;
        }
        self.api.create(&PostParams::default(), review).await
    }

    fn tell(&self, outcome: &Result<K, ReviewError>) {
        let kind = K::kind(&());
        match (outcome, self.outage.swap(outcome.is_err(), Ordering::Relaxed)) {
            (Err(error), false) if error.code() == Some(403) => {
                warn!("a {kind} failed: {error}; bind the ClusterRole system:auth-delegator to this server's user");
            }
            (Err(error), false) => warn!("a {kind} failed: {error}"),
            (Ok(_), true) => info!("the control plane answers {kind}s again"),
            _ => {}
        }
    }
}

impl ReviewError {
    /// The HTTP status of the answer, where there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed { code, .. } => *code,
            Self::TimedOut => None,
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
fn may_pass(error: &kube::Error) -> bool {
    code_of(error).is_none_or(|code| code >= 500 || code == 429)
}
