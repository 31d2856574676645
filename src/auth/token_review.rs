//! Bearer tokens whose users the control plane knows, asked for by TokenReview.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Client;
use sha2::{Digest, Sha256};

use super::flights::Flights;
use super::user::User;
use crate::cluster::{ReviewError, Reviews};
use crate::telemetry::metrics::{Delegated, Metrics};

/// Asks whose token a token is, and remembers the answer for a short time.
pub struct TokenReviews {
    reviews: Arc<Reviews<TokenReview>>,
    known: Flights<Option<Arc<User>>, ReviewError>,
    /// Makes what is remembered useless to whoever gets to see the memory.
    key: [u8; 32],
    metrics: Arc<Metrics>,
}

/// How many tokens are remembered.
const CAPACITY: usize = 4096;
/// No token is longer; in bytes.
const LONGEST: usize = 64 << 10;

impl TokenReviews {
    /// Asks by this client; an answer counts for `life`.
    pub fn new(client: Client, life: Duration, metrics: Arc<Metrics>) -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        random.fill(&mut key).expect("the system has random numbers");
        let known = Flights::new(CAPACITY, move |_: &Option<Arc<User>>| life);
        Self { reviews: Arc::new(Reviews::new(client)), known, key, metrics }
    }

    /// The user of a token; none where the control plane does not know it.
    ///
    /// # Errors
    /// The control plane could not be asked.
    pub async fn user(&self, token: &str) -> Result<Option<Arc<User>>, Arc<ReviewError>> {
        if token.len() > LONGEST {
            return Ok(None);
        }
        let hash = Sha256::new().chain_update(self.key).chain_update(token).finalize();
        let ask = || {
            let (reviews, metrics, token) = (self.reviews.clone(), self.metrics.clone(), token.to_owned());
            async move {
                let outcome = ask(&reviews, token).await;
                metrics.delegated(
                    Delegated::Authentication,
                    outcome.as_ref().map_or_else(ReviewError::code, |_| Some(201)),
                );
                outcome
            }
        };
        self.known.get(hash.to_vec(), ask).await
    }
}

async fn ask(reviews: &Reviews<TokenReview>, token: String) -> Result<Option<Arc<User>>, ReviewError> {
    let spec = TokenReviewSpec { token, ..TokenReviewSpec::default() };
    let status = reviews.post(&TokenReview { spec, ..TokenReview::default() }).await?.status.unwrap_or_default();
    match (status.authenticated, status.user) {
        (Some(true), Some(user)) => Ok(Some(user_of(user))),
        _ => Ok(None),
    }
}

fn user_of(info: UserInfo) -> Arc<User> {
    let UserInfo { username, uid, groups, extra } = info;
    let (name, uid) = (username.unwrap_or_default(), uid.unwrap_or_default());
    User { name, uid, groups: groups.unwrap_or_default(), extra: extra.unwrap_or_default() }.authenticated()
}
