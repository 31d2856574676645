//! Authentication of requests by certificate or bearer token.
//!
//! The order of the methods is that of `DelegatingAuthenticatorConfig.New` in
//! `k8s.io/apiserver/pkg/authentication/authenticatorfactory/delegating.go`.

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use rustls_pki_types::UnixTime;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::bearer::{self, Bearer};
use super::front_proxy::{FrontProxy, ProxyRejection};
use super::impersonate;
use super::invalid_credential::{InvalidCredential, InvalidCredentials};
use super::token_file::TokenFile;
use super::token_reviews::TokenReviews;
use super::trust::{PeerCertificates, Trust};
use super::trust_controller::TrustState;
use super::user::User;
use crate::cluster::{ReviewError, ReviewHealth};
use crate::telemetry::OnceEach;
use crate::telemetry::metrics::Metrics;

/// Result of checking the credentials of a request.
#[derive(Clone, Debug)]
pub enum AuthenticationOutcome {
    /// Authenticated user.
    User(Arc<User>),
    /// No credentials.
    Anonymous,
    /// Credentials that are all invalid.
    Invalid(InvalidCredentials),
    /// No valid credentials, and the review of a token failed.
    Unavailable(Arc<ReviewError>),
}

/// Authentication of a request.
#[derive(Clone, Debug)]
pub struct AuthenticatorResponse {
    /// User, or the reason why there is none.
    pub outcome: AuthenticationOutcome,
    /// True if a front proxy vouches for the user.
    pub via_front_proxy: bool,
    /// Text for the `Warning` header of the response.
    pub warning: Option<&'static str>,
}

/// Authenticator of requests.
///
/// Tries each method in order. The first success wins. Without a success, an invalid credential
/// fails the request; it is not served as the anonymous user.
pub struct Authenticator {
    tokens: Option<TokenFile>,
    reviews: Option<TokenReviews>,
    trusted: watch::Receiver<TrustState>,
    rejected_proxies: Mutex<RejectedProxyLog>,
    metrics: Arc<Metrics>,
}

/// Identity that the certificate of the connection proves.
enum CertificateIdentity {
    /// User named by a front proxy.
    Proxied(Arc<User>),
    /// User named by the certificate.
    Direct(Arc<User>),
    /// Certificate that proves nothing.
    Invalid(InvalidCredential),
    /// No certificate, or no CA to verify it with.
    Absent,
}

/// Rejected proxy certificates that were logged for one version of the trusted CAs.
struct RejectedProxyLog {
    trust: Weak<Trust>,
    rejections: OnceEach<ProxyRejection>,
}

const SPACED: &str = "the provided Authorization header contains extra space before the bearer token, and is ignored";
/// Maximum number of rejected certificates that are logged, each once. Clients can present any
/// number of them.
const MAX_LOGGED_PROXIES: usize = 100;

impl RejectedProxyLog {
    fn new(trust: Weak<Trust>) -> Self {
        Self { trust, rejections: OnceEach::bounded(MAX_LOGGED_PROXIES) }
    }
}

impl Authenticator {
    /// Authenticator by a token file, TokenReviews and client certificates.
    pub fn new(
        tokens: Option<TokenFile>,
        reviews: Option<TokenReviews>,
        trusted: watch::Receiver<TrustState>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            tokens,
            reviews,
            trusted,
            rejected_proxies: Mutex::new(RejectedProxyLog::new(Weak::new())),
            metrics,
        }
    }

    /// Authenticates a request from its headers, and the certificates and the source address of its
    /// connection.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: &PeerCertificates,
        address: IpAddr,
        now: UnixTime,
    ) -> AuthenticatorResponse {
        let authentication =
            |outcome| AuthenticatorResponse { outcome, via_front_proxy: false, warning: None };
        let mut invalid = match self.certificate_identity(headers, peer, now) {
            CertificateIdentity::Proxied(user) => {
                return AuthenticatorResponse {
                    via_front_proxy: true,
                    ..authentication(AuthenticationOutcome::User(user))
                };
            }
            CertificateIdentity::Direct(user) => {
                return authentication(AuthenticationOutcome::User(user));
            }
            CertificateIdentity::Invalid(error) => vec![error],
            CertificateIdentity::Absent => Vec::new(),
        };
        let in_header = bearer::of_header(headers);
        let mut tokens = Vec::new();
        match bearer::of_websocket(headers) {
            Ok(token) => tokens.extend(token),
            Err(()) => invalid.push(InvalidCredential::WebSocketToken),
        }
        if let Bearer::Token(token) = &in_header {
            tokens.insert(0, token.clone());
        }
        let mut review_error = None;
        for token in tokens {
            match self.token_user(&token, address).await {
                Ok(Ok(user)) => return authentication(AuthenticationOutcome::User(user)),
                Ok(Err(error)) => invalid.push(error),
                Err(why) => review_error = Some(why),
            }
        }
        let warning = (in_header == Bearer::Spaced).then_some(SPACED);
        let outcome = match review_error {
            Some(why) => AuthenticationOutcome::Unavailable(why),
            None if invalid.is_empty() => AuthenticationOutcome::Anonymous,
            None => AuthenticationOutcome::Invalid(InvalidCredentials(invalid)),
        };
        AuthenticatorResponse { warning, ..authentication(outcome) }
    }

    /// Removes credentials, identity headers and impersonation headers.
    pub fn strip(&self, headers: &mut HeaderMap) {
        bearer::strip(headers);
        let trust = self.trusted.borrow().trust.clone();
        let proxy = trust.front_proxy.as_ref();
        let is_credential = |name: &&HeaderName| {
            name.as_str().starts_with("x-remote-")
                || impersonate::is_header(name)
                || proxy.is_some_and(|proxy| proxy.headers.contain(name))
        };
        let credentials: Vec<HeaderName> = headers.keys().filter(is_credential).cloned().collect();
        for name in credentials {
            headers.remove(name);
        }
    }

    /// Receiver of the trusted CAs.
    pub fn trusted(&self) -> watch::Receiver<TrustState> {
        self.trusted.clone()
    }

    /// Failure of the last TokenReview; none without a control plane.
    pub fn review_health(&self) -> Option<ReviewHealth> {
        self.reviews.as_ref().map(TokenReviews::health)
    }

    /// Identity that the certificate of the connection proves.
    fn certificate_identity(
        &self,
        headers: &HeaderMap,
        peer: &PeerCertificates,
        now: UnixTime,
    ) -> CertificateIdentity {
        if peer.is_empty() {
            return CertificateIdentity::Absent;
        }
        let trust = self.trusted.borrow().trust.clone();
        let Some(verified) = peer.verify(&trust, now) else {
            return CertificateIdentity::Absent;
        };
        let mut error = InvalidCredential::Certificate;
        match &verified.proxy {
            Some(Ok(proxy)) => match proxy.user(headers) {
                Ok(Some(user)) => return CertificateIdentity::Proxied(user),
                Ok(None) => error = InvalidCredential::NoProxiedUser,
                // The proxy must not take the place of a user whose name cannot be read.
                Err(why) => {
                    debug!(%why, "invalid user headers of a front proxy");
                    return CertificateIdentity::Invalid(InvalidCredential::ProxyHeaders);
                }
            },
            Some(Err(rejection)) => self.log_rejected_proxy(&trust, rejection, headers),
            None => {}
        }
        let user = verified.user.clone();
        user.map_or(CertificateIdentity::Invalid(error), CertificateIdentity::Direct)
    }

    /// Logs a certificate that comes with a user header and is not that of a front proxy, once for
    /// each reason.
    fn log_rejected_proxy(
        &self,
        trust: &Arc<Trust>,
        rejection: &ProxyRejection,
        headers: &HeaderMap,
    ) {
        let names_user = |proxy: &FrontProxy| {
            proxy.headers.username.iter().any(|name| headers.contains_key(name))
        };
        let Some(proxy) = trust.front_proxy.as_ref().filter(|proxy| names_user(proxy)) else {
            return;
        };
        self.metrics.record_rejected_proxy();
        let mut rejected = self.rejected_proxies.lock();
        if !rejected.trust.upgrade().is_some_and(|logged| Arc::ptr_eq(&logged, trust)) {
            *rejected = RejectedProxyLog::new(Arc::downgrade(trust));
        }
        if !rejected.rejections.record(rejection.clone()) {
            return;
        }
        let ProxyRejection { issuer, name, cause } = rejection;
        warn!(
            issuer,
            name,
            allowed_names = ?proxy.allowed_names,
            authorities = %proxy.ca_bundle,
            %cause,
            "rejected user headers: the client certificate is not that of a front proxy"
        );
    }

    /// User of a token, or the reason why it is invalid.
    async fn token_user(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<Result<Arc<User>, InvalidCredential>, Arc<ReviewError>> {
        if let Some(user) = self.tokens.as_ref().and_then(|tokens| tokens.user(token)) {
            return Ok(Ok(user));
        }
        let Some(reviews) = &self.reviews else { return Ok(Err(InvalidCredential::UnknownToken)) };
        reviews
            .user(token, address)
            .await
            .inspect_err(|why| debug!(%why, "the review of a bearer token failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Ca, control_plane, now};
    use super::super::front_proxy::HeaderNames;
    use super::super::priority::{FlowClassifier, PriorityOptions};
    use super::*;
    use http::{HeaderName, HeaderValue, header};
    use serde_json::json;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Authenticator with a token file, a CA of users and a CA of front proxies.
    fn authenticator(clients: &Ca, proxies: &Ca) -> Authenticator {
        let tokens = TokenFile::parse("secret,admin,1,\"a,b\"\n".as_bytes()).unwrap();
        let username = vec![HeaderName::from_static("x-remote-user")];
        let headers = Arc::new(HeaderNames { username, ..HeaderNames::default() });
        let allowed_names = vec!["aggregator".to_owned()];
        let front_proxy = FrontProxy { ca_bundle: proxies.ca_bundle(), allowed_names, headers };
        let trust = Trust {
            clients: Some(Arc::new(clients.ca_bundle())),
            front_proxy: Some(Arc::new(front_proxy)),
        };
        let trusted = watch::channel(TrustState { trust: Arc::new(trust), awaited: None }).1;
        Authenticator::new(Some(tokens), None, trusted, Arc::new(Metrics::new()))
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn name(outcome: &AuthenticationOutcome) -> &str {
        match outcome {
            AuthenticationOutcome::User(user) => &user.name,
            AuthenticationOutcome::Anonymous => "anonymous",
            AuthenticationOutcome::Invalid(_) => "refused",
            AuthenticationOutcome::Unavailable(_) => "unreviewed",
        }
    }

    #[tokio::test]
    async fn first_valid_credential_wins_and_invalid_one_fails() {
        const USER: HeaderName = HeaderName::from_static("x-remote-user");
        let (clients, proxies, stranger) =
            (Ca::new("clients"), Ca::new("proxies"), Ca::new("stranger"));
        let authenticator = authenticator(&clients, &proxies);
        let (good, bad) =
            ((header::AUTHORIZATION, "Bearer secret"), (header::AUTHORIZATION, "Bearer bad"));
        let bob = (USER, "bob");
        let alice = clients.client("alice", &[]);
        let proxy = proxies.client("aggregator", &[]);
        let table = [
            (vec![], vec![], "anonymous"),
            (vec![], vec![good.clone()], "admin"),
            (vec![], vec![bad.clone()], "refused"),
            (vec![], vec![bob.clone()], "anonymous"),
            (vec![], vec![(header::AUTHORIZATION, "Basic x")], "anonymous"),
            (alice.clone(), vec![], "alice"),
            (alice.clone(), vec![bob.clone()], "alice"),
            (alice, vec![bad.clone()], "alice"),
            (stranger.client("alice", &[]), vec![], "refused"),
            (stranger.client("alice", &[]), vec![good.clone()], "admin"),
            (stranger.client("aggregator", &[]), vec![bob.clone()], "refused"),
            (proxies.client("nope", &[]), vec![bob.clone()], "refused"),
            (proxy.clone(), vec![], "refused"),
            (proxy.clone(), vec![good], "admin"),
            (proxy.clone(), vec![bob.clone(), bad], "bob"),
            (proxy, vec![bob], "bob"),
        ];
        for (chain, given, expected) in table {
            let peer = PeerCertificates::new(chain);
            let found = authenticator.authenticate(&headers(&given), &peer, HERE, now()).await;
            assert_eq!(name(&found.outcome), expected, "{given:?}");
        }
    }

    #[tokio::test]
    async fn failed_review_is_neither_success_nor_invalid_token() {
        let (client, _) =
            control_plane(|_| (403, json!({"kind": "Status", "code": 403, "message": "no"})));
        let flows = Arc::new(FlowClassifier::new(&PriorityOptions::default()));
        let reviews = TokenReviews::new(client, Duration::from_secs(60), flows, Arc::default());
        let authenticator =
            Authenticator { reviews: Some(reviews), ..authenticator(&Ca::new("a"), &Ca::new("b")) };
        let stranger = PeerCertificates::new(Ca::new("stranger").client("alice", &[]));
        for (peer, token, expected) in [
            (&PeerCertificates::default(), "Bearer unheard-of", "unreviewed"),
            (&stranger, "Bearer unheard-of", "unreviewed"),
            (&stranger, "Bearer secret", "admin"),
        ] {
            let found = authenticator
                .authenticate(&headers(&[(header::AUTHORIZATION, token)]), peer, HERE, now())
                .await;
            assert_eq!(name(&found.outcome), expected, "{token}");
        }
    }

    #[tokio::test]
    async fn proxy_with_unreadable_user_header_is_rejected() {
        const USER: HeaderName = HeaderName::from_static("x-remote-user");
        let ca = Ca::new("both");
        let peer = PeerCertificates::new(ca.client("aggregator", &[]));
        let unreadable =
            HeaderMap::from_iter([(USER, HeaderValue::from_bytes(b"bob\xff").unwrap())]);
        let found = authenticator(&ca, &ca).authenticate(&unreadable, &peer, HERE, now()).await;
        assert_eq!(name(&found.outcome), "refused");
    }

    #[tokio::test]
    async fn token_after_two_spaces_is_ignored_with_a_warning() {
        let authenticator = authenticator(&Ca::new("a"), &Ca::new("b"));
        let spaced = headers(&[(header::AUTHORIZATION, "Bearer  secret")]);
        let found =
            authenticator.authenticate(&spaced, &PeerCertificates::default(), HERE, now()).await;
        assert_eq!(
            (name(&found.outcome), found.via_front_proxy, found.warning),
            ("anonymous", false, Some(SPACED))
        );
    }

    #[test]
    fn strip_removes_all_identity_headers() {
        let authenticator = authenticator(&Ca::new("a"), &Ca::new("b"));
        let name = HeaderName::from_static;
        let mut headers = headers(&[
            (header::AUTHORIZATION, "Bearer secret"),
            (name("x-remote-user"), "bob"),
            (name("x-remote-extra-a"), "b"),
            (name("impersonate-user"), "eve"),
            (header::ACCEPT, "*/*"),
        ]);
        authenticator.strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [header::ACCEPT]);
    }
}
