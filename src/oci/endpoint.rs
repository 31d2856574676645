//! `RegistryEndpoint`: a registry as seen with one credential.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use reqwest::Url;
use tokio::time::Instant;

use super::challenge::{BearerChallenge, Challenge};
use super::client_state::ClientState;
use super::credential::{Credential, CredentialSecret, secret_header};
use super::error::{RegistryError, RequestFailure};
use super::known_registries::{RegistryFace, RegistryKey};
use super::request_sender::RequestSender;
use super::response_error::{ErrorCode, ResponseError};
use super::token::{AccessToken, TokenRequest};
use super::token_cache::TokenKey;
use super::transport::{HttpTransport, RegistryRequest, RegistryResponse};
use super::trust::Security;

/// Header of registries that implement the API.
const API_VERSION: &str = "docker-distribution-api-version";

/// A registry, its challenges, and tokens of one credential.
pub(super) struct RegistryEndpoint {
    state: Arc<ClientState>,
    key: RegistryKey,
    sender: RequestSender,
    face: Mutex<RegistryFace>,
    /// True if the face comes from an earlier import.
    is_remembered: AtomicBool,
    /// Tokens by path of the repository.
    tokens: Mutex<HashMap<String, Arc<tokio::sync::Mutex<TokenSlot>>>>,
}

/// A request below `/v2/`.
pub(super) struct ApiRequest<'a> {
    pub(super) method: Method,
    /// Path of the repository, which determines the scope of the token.
    pub(super) repository: &'a str,
    pub(super) target: ApiTarget<'a>,
    pub(super) accept: Option<HeaderValue>,
    /// Code of a response with the status 404 and without a body.
    pub(super) absent: ErrorCode,
}

/// Target of a request.
pub(super) enum ApiTarget<'a> {
    /// Path below the repository.
    Path(&'a str),
    /// URL. One of another origin gets no credential.
    Url(Url),
}

/// The token of a repository.
#[derive(Default)]
struct TokenSlot {
    /// Scope that a response demanded.
    scope: Option<String>,
    /// An error is kept too, so that a broken token server is asked once.
    token: Option<(Arc<TokenKey>, Result<AccessToken, RegistryError>)>,
}

/// Header of a request, with its scheme.
#[derive(Clone, PartialEq, Eq)]
enum RequestCredential {
    None,
    Fixed(HeaderValue),
    Token(HeaderValue),
}

impl RegistryEndpoint {
    /// Connects to a registry, with the response of an earlier import to its first request if there
    /// is one.
    ///
    /// # Errors
    /// No connection, and a server that is no registry.
    pub(super) async fn connect(
        state: Arc<ClientState>,
        server: &str,
        sender: RequestSender,
        security: Security,
    ) -> Result<Self, RegistryError> {
        let key = RegistryKey { server: server.to_owned(), security };
        let known = state.known.find(&key);
        let is_remembered = AtomicBool::new(known.is_some());
        let face = match known {
            Some(face) => face,
            None => meet(&state, &key, &sender).await?,
        };
        let (face, tokens) = (Mutex::new(face), Mutex::default());
        Ok(Self { state, key, sender, face, is_remembered, tokens })
    }

    /// Sends a request, and repeats it once if the registry refuses its token. If the registry cannot
    /// be reached as an earlier import found it, it gets the first request again.
    ///
    /// # Errors
    /// No response, and an error response.
    pub(super) async fn send(
        &self,
        request: ApiRequest<'_>,
    ) -> Result<RegistryResponse, RegistryError> {
        match self.attempt(&request).await {
            Err(RegistryError::Request { .. })
                if self.is_remembered.swap(false, Ordering::Relaxed) =>
            {
                self.state.known.forget(&self.key);
                let face = meet(&self.state, &self.key, &self.sender).await?;
                *self.face.lock() = face;
                self.attempt(&request).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self, request: &ApiRequest<'_>) -> Result<RegistryResponse, RegistryError> {
        let url = match &request.target {
            ApiTarget::Url(url) => url.clone(),
            ApiTarget::Path(path) => {
                let mut url = self.face.lock().base.clone();
                url.set_path(&format!("/v2/{}/{path}", request.repository));
                url
            }
        };
        let authorization = self.authorization(request.repository, &url).await?;
        let first = self.send_once(request, url.clone(), &authorization).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return self.checked(first, request).await;
        }
        let headers = first.headers().clone();
        // Its slot is free before the next request needs one.
        let refused = self.checked(first, request).await;
        if !self.accept_challenge(&headers, request.repository, &authorization).await {
            return refused;
        }
        let renewed = self.authorization(request.repository, &url).await?;
        if matches!(renewed, RequestCredential::Token(_)) || renewed != authorization {
            let second = self.send_once(request, url, &renewed).await?;
            return self.checked(second, request).await;
        }
        refused
    }

    async fn send_once(
        &self,
        request: &ApiRequest<'_>,
        url: Url,
        authorization: &RequestCredential,
    ) -> Result<RegistryResponse, RegistryError> {
        let authorization = match authorization {
            RequestCredential::None => None,
            RequestCredential::Fixed(header) | RequestCredential::Token(header) => {
                Some(header.clone())
            }
        };
        let timeouts = self.state.transport.timeouts();
        let outgoing = RegistryRequest {
            method: request.method.clone(),
            url,
            accept: request.accept.clone(),
            authorization,
            form: None,
            sender: &self.sender,
            security: self.key.security,
            // A response without a body takes no longer than the first one.
            timeout: match request.method {
                Method::HEAD => timeouts.handshake,
                _ => timeouts.total,
            },
        };
        self.state.transport.send(outgoing).await
    }

    /// Returns a response of success, and turns any other into an error.
    async fn checked(
        &self,
        incoming: RegistryResponse,
        request: &ApiRequest<'_>,
    ) -> Result<RegistryResponse, RegistryError> {
        if incoming.status().is_success() {
            return Ok(incoming);
        }
        let (status, headers) = (incoming.status(), incoming.headers().clone());
        let body = incoming.read_error().await;
        let response = ResponseError::new(status, &headers, &body, request.absent);
        let credential = self.sender.credential_name();
        Err(RegistryError::Response { response, credential })
    }

    /// Records the challenge of a refused request. Returns false if there is none.
    async fn accept_challenge(
        &self,
        headers: &HeaderMap,
        repository: &str,
        refused: &RequestCredential,
    ) -> bool {
        let mut challenges = Challenge::all(headers);
        if challenges.is_empty() {
            return false;
        }
        let scope = challenges.iter_mut().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => bearer.scope.take(),
            Challenge::Basic => None,
        });
        self.face.lock().challenges = challenges;
        let slot = self.slot(repository);
        let mut slot = slot.lock().await;
        if let (Some((key, Ok(token))), RequestCredential::Token(header)) = (&slot.token, refused)
            && token.header == *header
        {
            self.state.tokens.forget(key, header);
            slot.token = None;
        }
        if scope.is_some() && scope != slot.scope {
            *slot = TokenSlot { scope, token: None };
        }
        true
    }

    fn slot(&self, repository: &str) -> Arc<tokio::sync::Mutex<TokenSlot>> {
        self.tokens.lock().entry(repository.to_owned()).or_default().clone()
    }

    /// The header of a request. A token is preferred to a password.
    async fn authorization(
        &self,
        repository: &str,
        url: &Url,
    ) -> Result<RequestCredential, RegistryError> {
        let RegistryFace { base, challenges } = self.face.lock().clone();
        let secret = self.sender.credential.as_ref().map(Credential::secret);
        if challenges.is_empty() || base.origin() != url.origin() {
            return Ok(RequestCredential::None);
        }
        if let Some(CredentialSecret::RegistryToken(token)) = secret {
            let header = secret_header(&format!("Bearer {token}"));
            return Ok(header.map_or(RequestCredential::None, RequestCredential::Fixed));
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => Some(bearer),
            Challenge::Basic => None,
        });
        if let Some(bearer) = bearer {
            return self.token(bearer, repository, url).await.map(RequestCredential::Token);
        }
        let basic = secret.and_then(CredentialSecret::basic);
        Ok(basic.map_or(RequestCredential::None, |(_, header)| RequestCredential::Fixed(header)))
    }

    async fn token(
        &self,
        challenge: &BearerChallenge,
        repository: &str,
        url: &Url,
    ) -> Result<HeaderValue, RegistryError> {
        let slot = self.slot(repository);
        // Held during the request, so that concurrent requests share the token.
        let mut slot = slot.lock().await;
        match &slot.token {
            Some((_, Ok(token))) if token.is_valid(Instant::now()) => {
                return Ok(token.header.clone());
            }
            Some((_, Err(error))) => return Err(error.clone()),
            _ => {}
        }
        let default = || format!("repository:{repository}:pull");
        let scope = slot.scope.clone().unwrap_or_else(default);
        let key = Arc::new(TokenKey {
            registry: url.origin().ascii_serialization(),
            security: self.key.security,
            realm: challenge.realm.clone(),
            service: challenge.service.clone(),
            scope: scope.clone(),
            credential: self.sender.credential.clone(),
        });
        let request = TokenRequest {
            challenge: challenge.clone(),
            scope,
            sender: self.sender.clone(),
            target: url.clone(),
            security: self.key.security,
        };
        let state = self.state.clone();
        let send = || async move { request.send(&state.transport).await };
        let token = self.state.tokens.get(&key, send).await;
        slot.token = Some((key, token.clone()));
        token.map(|token| token.header)
    }
}

/// Meets a registry that is not known.
async fn meet(
    state: &Arc<ClientState>,
    key: &RegistryKey,
    sender: &RequestSender,
) -> Result<RegistryFace, RegistryError> {
    let first_request = || {
        let (state, key, sender) = (state.clone(), key.clone(), sender.clone());
        async move { first_request(&state.transport, &key, &sender).await }
    };
    state.known.meet(key, first_request).await
}

/// Sends the first request to a registry, the response to which names the authentication. An insecure
/// registry may have HTTP only.
async fn first_request(
    transport: &HttpTransport,
    key: &RegistryKey,
    sender: &RequestSender,
) -> Result<RegistryFace, RegistryError> {
    let RegistryKey { server, security } = key;
    let of_scheme = |scheme: &str| {
        Url::parse(&format!("{scheme}://{server}/")).map_err(|error| {
            let cause = RequestFailure::Unsupported(error.to_string());
            RegistryError::Request { method: "Get", url: format!("{scheme}://{server}/v2/"), cause }
        })
    };
    let mut base = of_scheme("https")?;
    let mut incoming = ping(transport, &base, sender, *security).await;
    if *security == Security::Insecure && matches!(incoming, Err(RegistryError::Request { .. })) {
        base = of_scheme("http")?;
        incoming = ping(transport, &base, sender, *security).await;
    }
    let incoming = incoming?;
    let (status, headers) = (incoming.status(), incoming.headers().clone());
    // An unread body would close the connection.
    let body = incoming.read_error().await;
    if status == StatusCode::TOO_MANY_REQUESTS {
        let response = ResponseError::new(status, &headers, &body, ErrorCode::UNKNOWN);
        return Err(RegistryError::Response { response, credential: None });
    }
    let is_known = status.is_success()
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || headers.contains_key(API_VERSION);
    if !is_known {
        let endpoint = base.as_str().trim_end_matches('/').to_owned();
        return Err(RegistryError::NotARegistry { endpoint, status });
    }
    let mut challenges = Challenge::all(&headers);
    for challenge in &mut challenges {
        // The scope is that of the first request, not of a repository.
        if let Challenge::Bearer(bearer) = challenge {
            bearer.scope = None;
        }
    }
    Ok(RegistryFace { base, challenges })
}

/// Sends `GET /v2/`.
async fn ping(
    transport: &HttpTransport,
    base: &Url,
    sender: &RequestSender,
    security: Security,
) -> Result<RegistryResponse, RegistryError> {
    let mut url = base.clone();
    url.set_path("/v2/");
    let timeout = transport.timeouts().handshake;
    let (accept, authorization, form) = (None, None, None);
    transport
        .send(RegistryRequest {
            method: Method::GET,
            url,
            accept,
            authorization,
            form,
            sender,
            security,
            timeout,
        })
        .await
}
