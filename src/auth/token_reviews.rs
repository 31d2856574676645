//! Bearer tokens authenticated by TokenReview, with a cache.
//!
//! A flood of unknown tokens must not lock out users with valid tokens. Valid tokens therefore have
//! a cache of their own, and tokens that were valid at their last review have a limit of their own,
//! which no client reaches without a valid token. Users share it. Source addresses share the limit
//! for unknown tokens.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Client;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::invalid_credential::InvalidCredential;
use super::priority::FlowClassifier;
use super::user::User;
use crate::cluster::{ReviewClient, ReviewError, ReviewHealth};
use crate::meta::excerpt;
use crate::runtime::{Flow, SingleFlight};
use crate::telemetry::metrics::{Delegated, Metrics};

/// Authenticator that posts TokenReviews and caches the results.
pub struct TokenReviews {
    /// Tokens that were valid at their last review.
    valid: Arc<Cache<TokenHash, Arc<ValidToken>>>,
    /// Reviews of the tokens in `valid`.
    known_queue: ReviewQueue,
    /// Reviews of all other tokens.
    unknown_queue: ReviewQueue,
    /// Lifetime of a cached result.
    ttl: Duration,
    /// Key of the hash, so that a memory dump does not allow to test guessed tokens.
    key: [u8; 32],
    flows: Arc<FlowClassifier>,
    metrics: Arc<Metrics>,
}

/// SHA-256 of key and token.
type TokenHash = [u8; 32];

/// Token that was valid at its last review.
struct ValidToken {
    user: Arc<User>,
    until: Instant,
}

/// Pending reviews and their cached results.
struct ReviewQueue {
    reviews: Arc<ReviewClient<TokenReview>>,
    results: SingleFlight<TokenHash, Result<TokenStatus, Arc<ReviewError>>>,
}

/// Result of a review.
#[derive(Clone, Debug)]
struct TokenStatus {
    /// The error of an invalid token.
    user: Result<Arc<User>, InvalidCredential>,
}

/// Capacity of each cache.
const CAPACITY: usize = 4096;
/// Maximum number of reviews in flight of tokens that were valid at their last review.
const MAX_KNOWN_IN_FLIGHT: u64 = 128;
/// Maximum number of reviews in flight of other tokens, of which clients that are not authenticated
/// yet get a sixteenth.
const MAX_UNKNOWN_IN_FLIGHT: u64 = 16 * 128;
/// Maximum length of a token, in bytes. Longer ones are invalid without a review.
const MAX_TOKEN_BYTES: usize = 64 << 10;

impl TokenReviews {
    /// Authenticator that caches results for `ttl`.
    pub fn new(
        client: Client,
        ttl: Duration,
        flows: Arc<FlowClassifier>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        random.fill(&mut key).expect("the system has random numbers");
        let lifetime = move |outcome: &Result<TokenStatus, _>| match outcome {
            // The control plane gives a reason for an invalid token, but also for an error that
            // may be temporary.
            Ok(TokenStatus { user: Err(InvalidCredential::RejectedToken(_)) }) | Err(_) => {
                Duration::ZERO
            }
            Ok(_) => ttl,
        };
        let health = ReviewHealth::default();
        let reviews = |in_flight| {
            let reviews = ReviewClient::new(client.clone(), in_flight, &metrics);
            Arc::new(reviews.reporting_to(health.clone()))
        };
        let queue = |in_flight| ReviewQueue {
            reviews: reviews(in_flight),
            results: SingleFlight::new(CAPACITY, lifetime),
        };
        Self {
            valid: Arc::new(Cache::new(CAPACITY)),
            known_queue: queue(MAX_KNOWN_IN_FLIGHT),
            unknown_queue: queue(MAX_UNKNOWN_IN_FLIGHT),
            ttl,
            key,
            flows,
            metrics,
        }
    }

    /// Failure of the last review of a token.
    pub fn health(&self) -> ReviewHealth {
        self.known_queue.reviews.health()
    }

    /// User of a token from a source address, or the reason why the token is invalid.
    ///
    /// # Errors
    /// The review failed.
    pub async fn user(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<Result<Arc<User>, InvalidCredential>, Arc<ReviewError>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Ok(Err(InvalidCredential::UnknownToken));
        }
        let hash: TokenHash =
            Sha256::new().chain_update(self.key).chain_update(token).finalize().into();
        let (queue, flow) = match self.valid.get(&hash) {
            Some(valid) if Instant::now() < valid.until => return Ok(Ok(valid.user.clone())),
            Some(valid) => (&self.known_queue, self.flows.of_user(&valid.user)),
            None => (&self.unknown_queue, self.flows.of_address(address)),
        };
        let review = || {
            let (reviews, metrics, token) =
                (queue.reviews.clone(), self.metrics.clone(), token.to_owned());
            let (valid, ttl) = (self.valid.clone(), self.ttl);
            async move {
                let outcome = review(&reviews, flow, token).await;
                // A refused review was not sent: a flood of tokens is not a failure of the control
                // plane.
                if !matches!(outcome, Err(ReviewError::TooManyPending)) {
                    let code = outcome.as_ref().map_or_else(ReviewError::code, |_| Some(201));
                    metrics.record_delegated_request(Delegated::Authentication, code);
                }
                match &outcome {
                    Ok(TokenStatus { user: Ok(user) }) => {
                        valid.insert(
                            hash,
                            Arc::new(ValidToken {
                                user: user.clone(),
                                until: Instant::now() + ttl,
                            }),
                        );
                    }
                    Ok(TokenStatus { user: Err(InvalidCredential::UnknownToken) }) => {
                        drop(valid.remove(&hash));
                    }
                    // The token may still be valid.
                    Ok(_) | Err(_) => {}
                }
                outcome.map_err(Arc::new)
            }
        };
        Ok(queue.results.get(&hash, review).await?.user)
    }
}

async fn review(
    reviews: &ReviewClient<TokenReview>,
    flow: Flow,
    token: String,
) -> Result<TokenStatus, ReviewError> {
    let spec = TokenReviewSpec { token, ..TokenReviewSpec::default() };
    let status = reviews
        .post(flow, &TokenReview { spec, ..TokenReview::default() })
        .await?
        .status
        .unwrap_or_default();
    let user = status.user.filter(|_| status.authenticated == Some(true)).and_then(user_of);
    let user = user.ok_or_else(|| match status.error.filter(|error| !error.is_empty()) {
        Some(reason) => InvalidCredential::RejectedToken(excerpt::of(&reason).into()),
        None => InvalidCredential::UnknownToken,
    });
    Ok(TokenStatus { user })
}

/// User of a review; `None` without a name. kube-apiserver would accept the user `""`.
fn user_of(info: UserInfo) -> Option<Arc<User>> {
    let UserInfo { username, uid, groups, extra } = info;
    let name = username.filter(|name| !name.is_empty())?;
    let (uid, groups, extra) =
        (uid.unwrap_or_default(), groups.unwrap_or_default(), extra.unwrap_or_default());
    Some(User { name, uid, groups, extra }.authenticated())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::control_plane;
    use super::super::priority::PriorityOptions;
    use super::*;
    use crate::cluster::Fault;
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const TTL: Duration = Duration::from_secs(60);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn reviews_of(client: Client, ttl: Duration, metrics: Arc<Metrics>) -> TokenReviews {
        let flows = Arc::new(FlowClassifier::new(&PriorityOptions::default()));
        TokenReviews::new(client, ttl, flows, metrics)
    }

    fn review_alice(review: Value) -> (u16, Value) {
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
    async fn results_for_valid_and_invalid_tokens_are_cached() {
        let (client, requests) = control_plane(review_alice);
        let reviews = reviews_of(client, TTL, Arc::default());
        for _ in 0..3 {
            let user = reviews.user("good", HERE).await.unwrap().unwrap();
            assert_eq!((user.name.as_str(), user.uid.as_str()), ("alice", "7"));
            assert_eq!(user.groups, ["devs", "system:authenticated"]);
            assert_eq!(user.extra["scopes"], ["all"]);
            let bad = reviews.user("bad", HERE).await.unwrap();
            assert_eq!(bad, Err(InvalidCredential::UnknownToken));
        }
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn result_with_an_error_is_not_cached() {
        let (client, requests) = control_plane(review_alice);
        let reviews = reviews_of(client, TTL, Arc::default());
        for attempts in 1..3 {
            assert!(reviews.user("too early", HERE).await.unwrap().is_err());
            assert_eq!(requests.load(Ordering::Relaxed), attempts);
        }
    }

    #[tokio::test]
    async fn concurrent_requests_with_one_token_share_a_review() {
        let (client, requests) = control_plane(review_alice);
        let reviews = reviews_of(client, TTL, Arc::default());
        let users =
            futures_util::future::join_all((0..20).map(|_| reviews.user("good", HERE))).await;
        assert!(users.into_iter().all(|user| user.unwrap().is_ok()));
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn failed_review_is_not_cached() {
        let (client, requests) =
            control_plane(|_| (403, json!({"kind": "Status", "code": 403, "message": "no"})));
        let reviews = reviews_of(client, TTL, Arc::default());
        for attempts in 1..3 {
            let why = reviews.user("good", HERE).await.unwrap_err();
            assert_eq!((why.code(), requests.load(Ordering::Relaxed)), (Some(403), attempts));
        }
    }

    #[tokio::test]
    async fn oversized_token_is_invalid_without_a_review() {
        let (client, requests) = control_plane(review_alice);
        let reviews = reviews_of(client, TTL, Arc::default());
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        assert!(reviews.user(&long, HERE).await.unwrap().is_err());
        assert_eq!(requests.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn review_without_a_user_name_is_no_user() {
        let (client, _) = control_plane(|_| {
            let status = json!({"authenticated": true, "user": {"username": "", "groups": ["system:masters"]}});
            (
                201,
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                "status": status}),
            )
        });
        assert_eq!(
            reviews_of(client, TTL, Arc::default()).user("nameless", HERE).await.unwrap(),
            Err(InvalidCredential::UnknownToken)
        );
    }

    /// Control plane that responds to reviews of the token `good` only.
    fn hangs_for_unknown_tokens() -> (Client, Arc<AtomicUsize>) {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let count = count.clone();
            async move {
                let body =
                    request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
                let review: Value = serde_json::from_slice(&body).unwrap();
                if review["spec"]["token"] != "good" {
                    return std::future::pending().await;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let answer = review_alice(review).1.to_string().into_bytes();
                Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::from(answer)))
            }
        });
        (Client::new(service, "default"), requests)
    }

    #[tokio::test]
    async fn flood_of_unknown_tokens_does_not_lock_out_valid_ones() {
        let (client, requests) = hangs_for_unknown_tokens();
        let metrics = Arc::new(Metrics::new());
        let kept = reviews_of(client.clone(), TTL, metrics.clone());
        let not_kept = reviews_of(client, Duration::ZERO, metrics.clone());
        for reviews in [&kept, &not_kept] {
            assert!(reviews.user("good", HERE).await.unwrap().is_ok());
            // More than the queue and the cache hold.
            let tokens: Vec<String> =
                (0..CAPACITY + 1000).map(|number| format!("stranger {number}")).collect();
            let mut flood = Box::pin(futures_util::future::join_all(
                tokens.iter().map(|token| reviews.user(token, HERE)),
            ));
            assert!((&mut flood).now_or_never().is_none());
            tokio::task::yield_now().await;
            let refused = reviews.user("another", HERE).await.unwrap_err();
            assert!(matches!(*refused, ReviewError::TooManyPending), "{refused}");
            assert!(reviews.user("good", HERE).await.unwrap().is_ok());
        }
        assert_eq!(requests.load(Ordering::Relaxed), 3);
        assert!(
            !metrics.text().contains("<error>"),
            "the control plane has not failed: {}",
            metrics.text()
        );
    }

    #[tokio::test]
    async fn flood_from_one_address_does_not_delay_another() {
        let (client, _) = hangs_for_unknown_tokens();
        let reviews = reviews_of(client, TTL, Arc::default());
        let tokens: Vec<String> = (0..1000).map(|number| format!("stranger {number}")).collect();
        let mut flood = Box::pin(futures_util::future::join_all(
            tokens.iter().map(|token| reviews.user(token, HERE)),
        ));
        assert!((&mut flood).now_or_never().is_none());
        tokio::task::yield_now().await;
        let there = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert!(reviews.user("good", there).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn revoked_token_moves_to_the_queue_of_unknown_tokens() {
        let is_valid = Arc::new(AtomicUsize::new(1));
        let current = is_valid.clone();
        let (client, _) = control_plane(move |review| match current.load(Ordering::Relaxed) {
            1 => review_alice(review),
            _ => review_alice(json!({"spec": {"token": "bad"}})),
        });
        let reviews = reviews_of(client, Duration::ZERO, Arc::default());
        assert!(reviews.user("good", HERE).await.unwrap().is_ok());
        assert_eq!(reviews.valid.len(), 1);
        is_valid.store(0, Ordering::Relaxed);
        assert!(reviews.user("good", HERE).await.unwrap().is_err());
        assert_eq!(reviews.valid.len(), 0);
    }

    #[tokio::test]
    async fn transient_failure_is_retried() {
        let failures = Arc::new(std::sync::atomic::AtomicUsize::new(2));
        let (client, requests) = control_plane(move |review| {
            match failures
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            {
                Ok(_) => (503, json!({"kind": "Status", "code": 503, "message": "later"})),
                Err(_) => review_alice(review),
            }
        });
        let reviews = reviews_of(client, TTL, Arc::default());
        assert!(reviews.user("good", HERE).await.unwrap().is_ok());
        assert_eq!(requests.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn failed_review_is_reported_until_one_succeeds() {
        let is_bound = Arc::new(AtomicUsize::new(0));
        let bound = is_bound.clone();
        let (client, _) = control_plane(move |review| match bound.load(Ordering::Relaxed) {
            0 => (403, json!({"kind": "Status", "code": 403, "message": "no"})),
            _ => review_alice(review),
        });
        let reviews = reviews_of(client, TTL, Arc::default());
        assert_eq!(reviews.health().fault(), None);
        assert!(reviews.user("good", HERE).await.is_err());
        assert_eq!(reviews.health().fault(), Some(Fault::Forbidden));
        is_bound.store(1, Ordering::Relaxed);
        assert!(reviews.user("good", HERE).await.unwrap().is_ok());
        assert_eq!(reviews.health().fault(), None);
    }

    #[tokio::test]
    async fn reason_of_the_control_plane_is_kept_for_the_log() {
        let (client, _) = control_plane(review_alice);
        let reviews = reviews_of(client, TTL, Arc::default());
        let rejected = reviews.user("expired", HERE).await.unwrap().unwrap_err();
        let text = "the control plane rejects the bearer token: invalid bearer token";
        assert_eq!(rejected.to_string(), text);
    }
}
