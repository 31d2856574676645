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
    known: Flights<[u8; 32], Answer, ReviewError>,
    /// Makes what is remembered useless to whoever gets to see the memory.
    key: [u8; 32],
    metrics: Arc<Metrics>,
}

/// What the control plane knows of a token.
#[derive(Clone, Debug)]
struct Answer {
    user: Option<Arc<User>>,
    /// It says that something went wrong, which may be over with the next question. It says so of bad tokens, too.
    is_error: bool,
}

/// How many tokens are remembered.
const CAPACITY: usize = 4096;
/// How many questions may be under way.
const UNDER_WAY: usize = 100;
/// No token is longer; in bytes.
const LONGEST: usize = 64 << 10;

impl TokenReviews {
    /// Asks by this client; an answer counts for `life`.
    pub fn new(client: Client, life: Duration, metrics: Arc<Metrics>) -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        random.fill(&mut key).expect("the system has random numbers");
        let known = Flights::new(CAPACITY, move |answer: &Answer| if answer.is_error { Duration::ZERO } else { life });
        Self { reviews: Arc::new(Reviews::new(client, UNDER_WAY)), known, key, metrics }
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
        Ok(self.known.get(&hash.into(), ask).await?.user)
    }
}

async fn ask(reviews: &Reviews<TokenReview>, token: String) -> Result<Answer, ReviewError> {
    let spec = TokenReviewSpec { token, ..TokenReviewSpec::default() };
    let status = reviews.post(&TokenReview { spec, ..TokenReview::default() }).await?.status.unwrap_or_default();
    let user = status.user.filter(|_| status.authenticated == Some(true)).map(user_of);
    let is_error = user.is_none() && status.error.is_some_and(|error| !error.is_empty());
    Ok(Answer { user, is_error })
}

fn user_of(info: UserInfo) -> Arc<User> {
    let UserInfo { username, uid, groups, extra } = info;
    let (name, uid) = (username.unwrap_or_default(), uid.unwrap_or_default());
    User { name, uid, groups: groups.unwrap_or_default(), extra: extra.unwrap_or_default() }.authenticated()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::control_plane;
    use super::*;
    use serde_json::{Value, json};
    use std::sync::atomic::Ordering;

    const LIFE: Duration = Duration::from_secs(60);

    fn knows_alice(review: Value) -> (u16, Value) {
        let user = json!({"username": "alice", "uid": "7", "groups": ["devs"], "extra": {"scopes": ["all"]}});
        let status = match review["spec"]["token"] == "good" {
            true => json!({"authenticated": true, "user": user}),
            false if review["spec"]["token"] == "bad" => json!({"user": {}}),
            false => json!({"user": {}, "error": "invalid bearer token"}),
        };
        let kind = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}});
        (
            201,
            json!({"spec": {}, "status": status, "apiVersion": kind["apiVersion"], "kind": kind["kind"], "metadata": {}}),
        )
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_a_bad_one_too() {
        let (client, asked) = control_plane(knows_alice);
        let reviews = TokenReviews::new(client, LIFE, Arc::default());
        for _ in 0..3 {
            let user = reviews.user("good").await.unwrap().unwrap();
            assert_eq!((user.name.as_str(), user.uid.as_str()), ("alice", "7"));
            assert_eq!(user.groups, ["devs", "system:authenticated"]);
            assert_eq!(user.extra["scopes"], ["all"]);
            assert_eq!(reviews.user("bad").await.unwrap(), None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_token_that_is_bad_by_an_error_is_asked_for_again() {
        let (client, asked) = control_plane(knows_alice);
        let reviews = TokenReviews::new(client, LIFE, Arc::default());
        for tries in 1..3 {
            assert_eq!(reviews.user("too early").await.unwrap(), None);
            assert_eq!(asked.load(Ordering::Relaxed), tries);
        }
    }

    #[tokio::test]
    async fn those_who_show_the_same_token_at_once_share_the_question() {
        let (client, asked) = control_plane(knows_alice);
        let reviews = TokenReviews::new(client, LIFE, Arc::default());
        let users = futures_util::future::join_all((0..20).map(|_| reviews.user("good"))).await;
        assert!(users.into_iter().all(|user| user.unwrap().is_some()));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_a_review_that_could_not_be_made() {
        let (client, asked) = control_plane(|_| (403, json!({"kind": "Status", "code": 403, "message": "no"})));
        let reviews = TokenReviews::new(client, LIFE, Arc::default());
        for tries in 1..3 {
            let why = reviews.user("good").await.unwrap_err();
            assert_eq!((why.code(), asked.load(Ordering::Relaxed)), (Some(403), tries));
        }
    }

    #[tokio::test]
    async fn what_no_token_can_be_is_not_even_asked_for() {
        let (client, asked) = control_plane(knows_alice);
        let reviews = TokenReviews::new(client, LIFE, Arc::default());
        assert_eq!(reviews.user(&"x".repeat(LONGEST + 1)).await.unwrap(), None);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_tried_again() {
        let failures = Arc::new(std::sync::atomic::AtomicUsize::new(2));
        let (client, asked) = control_plane(move |review| {
            match failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
                Ok(_) => (503, json!({"kind": "Status", "code": 503, "message": "later"})),
                Err(_) => knows_alice(review),
            }
        });
        let reviews = TokenReviews::new(client, LIFE, Arc::default());
        assert!(reviews.user("good").await.unwrap().is_some());
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
