//! Authorization by SubjectAccessReview or, without a cluster, for every authenticated user.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewStatus};
use kube::Client;

use super::attributes::Attributes;
use super::user::{AUTHENTICATED, MASTERS, User};
use crate::cluster::{ReviewClient, ReviewError, ReviewHealth};
use crate::runtime::{Flow, SingleFlight};
use crate::telemetry::metrics::{Delegated, Metrics};

/// Authorizer of requests.
pub enum Authorizer {
    /// Allows everything to authenticated users and nothing to others.
    AlwaysAllow,
    /// Posts SubjectAccessReviews to the control plane.
    Webhook(AccessReviews),
}

/// Decision of the authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request is allowed.
    Allowed,
    /// The request is denied.
    Denied {
        /// Reason given by the authorizer; often empty.
        reason: String,
    },
}

/// Paths that need no authorization, from `--authorization-always-allow-paths`.
///
/// As `NewAuthorizer` in `k8s.io/apiserver/pkg/authorization/path/path.go`.
#[derive(Clone, Debug)]
pub struct AlwaysAllowPaths {
    exact: HashSet<String>,
    prefixes: Vec<String>,
}

/// Authorizer that posts SubjectAccessReviews and caches the decisions.
pub struct AccessReviews {
    always_allow: AlwaysAllowPaths,
    reviews: Arc<ReviewClient<SubjectAccessReview>>,
    decisions: SingleFlight<ReviewKey, Result<Decision, Arc<ReviewError>>>,
    metrics: Arc<Metrics>,
}

/// Cache key: everything that a decision depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ReviewKey {
    user: Arc<User>,
    attributes: Arc<Attributes>,
}

/// Maximum number of cached decisions.
const CAPACITY: usize = 8192;
/// Maximum size of a cache key, in bytes, as `maxControlledAttrCacheSize` in
/// `k8s.io/apiserver/plugin/pkg/authorizer/webhook/webhook.go`.
const MAX_CACHED_BYTES: usize = 10_000;
/// Maximum number of reviews in flight.
const MAX_IN_FLIGHT: u64 = 128;

impl Authorizer {
    /// Decides whether a user may perform an action. A review counts for the flow.
    ///
    /// # Errors
    /// The review failed. The caller must not treat this as permission.
    pub async fn authorize(
        &self,
        flow: Flow,
        user: &Arc<User>,
        attributes: &Arc<Attributes>,
    ) -> Result<Decision, Arc<ReviewError>> {
        match (self.decide_locally(user, attributes), self) {
            (Some(decision), _) => Ok(decision),
            (None, Self::AlwaysAllow) => Ok(Decision::DENIED),
            (None, Self::Webhook(reviews)) => reviews.authorize(flow, user, attributes).await,
        }
    }

    /// Decision without a review; `None` if a review is necessary.
    pub fn decide_locally(&self, user: &User, attributes: &Attributes) -> Option<Decision> {
        match self {
            _ if self.allows_everything(user) => Some(Decision::Allowed),
            Self::AlwaysAllow => Some(Decision::DENIED),
            Self::Webhook(reviews) => reviews.decide_locally(user, attributes),
        }
    }

    /// Failure of the last review; none without a control plane.
    pub fn review_health(&self) -> Option<ReviewHealth> {
        match self {
            Self::AlwaysAllow => None,
            Self::Webhook(reviews) => Some(reviews.reviews.health()),
        }
    }

    /// Returns true if the user may do everything, so that the attributes need not be computed.
    pub fn allows_everything(&self, user: &User) -> bool {
        match self {
            Self::AlwaysAllow => user.is_in(AUTHENTICATED),
            Self::Webhook(_) => user.is_in(MASTERS),
        }
    }
}

impl Decision {
    const DENIED: Self = Self::Denied { reason: String::new() };
}

impl AlwaysAllowPaths {
    /// Exact paths, and prefixes that end in `*`.
    pub fn new(paths: &[String]) -> Self {
        let prefixes = paths.iter().filter_map(|path| path.strip_suffix('*')).map(str::to_owned);
        let exact = paths.iter().filter(|path| !path.ends_with('*')).cloned();
        Self { exact: exact.collect(), prefixes: prefixes.collect() }
    }

    /// Returns true if the path matches an exact path or a prefix.
    pub fn contain(&self, path: &str) -> bool {
        self.exact.contains(path) || self.prefixes.iter().any(|prefix| path.starts_with(prefix))
    }
}

impl AccessReviews {
    /// Authorizer with one cache lifetime for `allowed` and one for `denied` decisions.
    pub fn new(
        client: Client,
        always_allow: AlwaysAllowPaths,
        allowed: Duration,
        denied: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let lifetime = move |outcome: &Result<Decision, _>| match outcome {
            Ok(Decision::Allowed) => allowed,
            Ok(Decision::Denied { .. }) => denied,
            Err(_) => Duration::ZERO,
        };
        let reviews = Arc::new(ReviewClient::new(client, MAX_IN_FLIGHT, &metrics));
        let decisions = SingleFlight::new(CAPACITY, lifetime);
        Self { always_allow, reviews, decisions, metrics }
    }

    fn decide_locally(&self, user: &User, attributes: &Attributes) -> Option<Decision> {
        let Attributes::Path { path, verb } = attributes else {
            return None;
        };
        if self.always_allow.contain(path) {
            return Some(Decision::Allowed);
        }
        let is_authenticated = user.is_in(AUTHENTICATED);
        let decision = if is_authenticated { Decision::Allowed } else { Decision::DENIED };
        (verb == "get" && is_discovery(path)).then_some(decision)
    }

    async fn authorize(
        &self,
        flow: Flow,
        user: &Arc<User>,
        attributes: &Arc<Attributes>,
    ) -> Result<Decision, Arc<ReviewError>> {
        let key = ReviewKey { user: user.clone(), attributes: attributes.clone() };
        let review = || {
            let (reviews, metrics, key) = (self.reviews.clone(), self.metrics.clone(), key.clone());
            async move {
                let spec = key.attributes.review(&key.user);
                let review_of = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
                let outcome = review(&reviews, flow, review_of).await;
                // A refused review was not sent: a flood of requests is not a failure of the
                // control plane.
                if !matches!(outcome, Err(ReviewError::TooManyPending)) {
                    let code = outcome.as_ref().map_or_else(ReviewError::code, |_| Some(201));
                    metrics.record_delegated_request(Delegated::Authorization, code);
                }
                outcome.map_err(Arc::new)
            }
        };
        if user.size() + attributes.size() > MAX_CACHED_BYTES {
            // The future of a review is large; boxing keeps that of every request small.
            return Box::pin(review()).await;
        }
        self.decisions.get(&key, review).await
    }
}

/// Returns true for the paths of discovery and OpenAPI, as in the ClusterRole `system:discovery`.
///
/// They are decided without the control plane: a group without discovery delays clients of the
/// whole cluster.
fn is_discovery(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let is_below = |root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_below("/apis") || is_below("/openapi")
}

async fn review(
    reviews: &ReviewClient<SubjectAccessReview>,
    flow: Flow,
    review: SubjectAccessReview,
) -> Result<Decision, ReviewError> {
    let status = reviews.post(flow, &review).await?.status.unwrap_or_default();
    let SubjectAccessReviewStatus { allowed, denied, reason, .. } = status;
    let is_allowed = allowed && denied != Some(true);
    Ok(if is_allowed {
        Decision::Allowed
    } else {
        Decision::Denied { reason: reason.unwrap_or_default() }
    })
}

#[cfg(test)]
mod tests {
    use super::super::attributes::ResourceAction;
    use super::super::fixtures::control_plane;
    use super::*;
    use serde_json::{Value, json};
    use std::sync::atomic::Ordering;

    const TTL: Duration = Duration::from_secs(60);

    /// Control plane that allows everything to alice and nothing to others.
    fn alice_may(review: Value) -> (u16, Value) {
        let allowed = review["spec"]["user"] == "alice";
        let status = json!({"allowed": allowed, "reason": if allowed { "" } else { "not alice" }});
        let version = "authorization.k8s.io/v1";
        (
            201,
            json!({"apiVersion": version, "kind": "SubjectAccessReview", "metadata": {}, "spec": {}, "status": status}),
        )
    }

    fn webhook(client: Client) -> Authorizer {
        let always_allow = AlwaysAllowPaths::new(&["/livez".into()]);
        Authorizer::Webhook(AccessReviews::new(client, always_allow, TTL, TTL, Arc::default()))
    }

    fn user(name: &str) -> Arc<User> {
        User { name: name.into(), ..User::default() }.authenticated()
    }

    fn get(name: &str) -> Arc<Attributes> {
        let (verb, name) = ("get".into(), name.into());
        Arc::new(Attributes::Resource(Box::new(ResourceAction {
            verb,
            name,
            ..ResourceAction::default()
        })))
    }

    fn path(path: &str) -> Arc<Attributes> {
        Arc::new(Attributes::Path { path: path.into(), verb: "get".into() })
    }

    #[tokio::test]
    async fn decision_is_cached_per_user_and_attributes() {
        let (client, requests) = control_plane(alice_may);
        let authorizer = webhook(client);
        let scopes = [("scopes".to_owned(), vec!["all".to_owned()])].into();
        let with_extra = Arc::new(User { extra: scopes, ..(*user("alice")).clone() });
        for _ in 0..2 {
            assert_eq!(
                authorizer.authorize(Flow::INTERNAL, &user("alice"), &get("x")).await.unwrap(),
                Decision::Allowed
            );
            assert_eq!(
                authorizer.authorize(Flow::INTERNAL, &with_extra, &get("x")).await.unwrap(),
                Decision::Allowed
            );
            assert_eq!(
                authorizer.authorize(Flow::INTERNAL, &user("alice"), &get("y")).await.unwrap(),
                Decision::Allowed
            );
            let denied = Decision::Denied { reason: "not alice".into() };
            assert_eq!(
                authorizer.authorize(Flow::INTERNAL, &user("bob"), &get("x")).await.unwrap(),
                denied
            );
        }
        assert_eq!(requests.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn only_unchecked_requests_are_allowed_without_authorizer() {
        let (client, requests) =
            control_plane(|_| (403, json!({"kind": "Status", "code": 403, "message": "no"})));
        let authorizer = webhook(client);
        assert!(authorizer.authorize(Flow::INTERNAL, &user("alice"), &get("x")).await.is_err());
        assert!(
            authorizer.authorize(Flow::INTERNAL, &user("alice"), &path("/metrics")).await.is_err()
        );
        assert_eq!(requests.load(Ordering::Relaxed), 2);
        let master = Arc::new(User { groups: vec![MASTERS.into()], ..(*user("root")).clone() });
        assert_eq!(
            authorizer.authorize(Flow::INTERNAL, &master, &get("x")).await.unwrap(),
            Decision::Allowed
        );
        assert_eq!(
            authorizer
                .authorize(Flow::INTERNAL, &Arc::new(User::anonymous()), &path("/livez"))
                .await
                .unwrap(),
            Decision::Allowed
        );
        for discovery in ["/apis", "/apis/image.openshift.io/v1", "/openapi/v2"] {
            assert_eq!(
                authorizer
                    .authorize(Flow::INTERNAL, &user("system:aggregator"), &path(discovery))
                    .await
                    .unwrap(),
                Decision::Allowed
            );
            assert_eq!(
                authorizer
                    .authorize(Flow::INTERNAL, &Arc::new(User::anonymous()), &path(discovery))
                    .await
                    .unwrap(),
                Decision::DENIED
            );
        }
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn decision_with_large_key_is_not_cached() {
        let (client, requests) = control_plane(alice_may);
        let authorizer = webhook(client);
        let name = "x".repeat(MAX_CACHED_BYTES);
        for _ in 0..2 {
            assert_eq!(
                authorizer.authorize(Flow::INTERNAL, &user("alice"), &get(&name)).await.unwrap(),
                Decision::Allowed
            );
        }
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn always_allow_denies_unauthenticated_users() {
        assert!(Authorizer::AlwaysAllow.allows_everything(&user("alice")));
        for nobody in
            [User::anonymous(), User { name: "system:anonymous".into(), ..User::default() }]
        {
            let decision = Authorizer::AlwaysAllow
                .authorize(Flow::INTERNAL, &Arc::new(nobody), &get("x"))
                .await
                .unwrap();
            assert_eq!(decision, Decision::DENIED);
        }
    }

    #[test]
    fn always_allow_paths_match_exactly_or_by_prefix() {
        let always_allow = AlwaysAllowPaths::new(&["/livez".into(), "/public/*".into()]);
        for (path, is_open) in
            [("/livez", true), ("/livez/ping", false), ("/public/a", true), ("/public", false)]
        {
            assert_eq!(always_allow.contain(path), is_open, "{path}");
        }
    }

    #[test]
    fn discovery_paths_are_below_apis_and_openapi() {
        for path in ["/apis", "/apis/", "/apis/g/v1", "/openapi/v2", "/openapi/v3/apis/g/v1"] {
            assert!(is_discovery(path), "{path}");
        }
        for path in ["/", "/apisx", "/metrics", "/api", "/healthz/ping"] {
            assert!(!is_discovery(path), "{path}");
        }
    }
}
