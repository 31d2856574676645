//! `RegistryEndpoint`: a registry as seen with one credential.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use reqwest::Url;
use tokio::time::Instant;

use super::challenge::{BearerChallenge, Challenge};
use super::credential::{Credential, CredentialSecret, secret_header};
use super::error::{RegistryError, RequestFailure};
use super::response_error::{ErrorCode, ResponseError};
use super::token::{AccessToken, TokenRequest};
use super::transport::{HttpTransport, RegistryRequest, RegistryResponse};
use super::trust::Security;

/// Header of registries that implement the API.
const API_VERSION: &str = "docker-distribution-api-version";

/// A registry, its challenges, and tokens of one credential.
pub(super) struct RegistryEndpoint {
    transport: Arc<HttpTransport>,
    base: Url,
    credential: Option<Credential>,
    security: Security,
    challenges: Mutex<Vec<Challenge>>,
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
    token: Option<Result<AccessToken, RegistryError>>,
}

/// Header of a request, with its scheme.
#[derive(Clone, PartialEq, Eq)]
enum RequestCredential {
    None,
    Fixed(HeaderValue),
    Token(HeaderValue),
}

impl RegistryEndpoint {
    /// Sends the first request to a registry, which tells the authentication. An insecure registry
    /// may have HTTP only.
    ///
    /// # Errors
    /// No connection, and a server that is no registry.
    pub(super) async fn connect(
        transport: Arc<HttpTransport>,
        server: &str,
        credential: Option<Credential>,
        security: Security,
    ) -> Result<Self, RegistryError> {
        let of_scheme = |scheme: &str| {
            Url::parse(&format!("{scheme}://{server}/")).map_err(|error| {
                let cause = RequestFailure::Unsupported(error.to_string());
                RegistryError::Request {
                    method: "Get",
                    url: format!("{scheme}://{server}/v2/"),
                    cause,
                }
            })
        };
        let mut base = of_scheme("https")?;
        let mut incoming = ping(&transport, &base, security).await;
        if security == Security::Insecure && matches!(incoming, Err(RegistryError::Request { .. }))
        {
            base = of_scheme("http")?;
            incoming = ping(&transport, &base, security).await;
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
        let tokens = Mutex::default();
        Ok(Self { transport, base, credential, security, challenges: challenges.into(), tokens })
    }

    /// Sends a request, and repeats it once if the registry refuses its token.
    ///
    /// # Errors
    /// No response, and an error response.
    pub(super) async fn send(
        &self,
        request: ApiRequest<'_>,
    ) -> Result<RegistryResponse, RegistryError> {
        let url = match &request.target {
            ApiTarget::Url(url) => url.clone(),
            ApiTarget::Path(path) => {
                let mut url = self.base.clone();
                url.set_path(&format!("/v2/{}/{path}", request.repository));
                url
            }
        };
        let authorization = self.authorization(request.repository, &url).await?;
        let first = self.send_once(&request, url.clone(), &authorization).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return self.checked(first, &request).await;
        }
        if !self.accept_challenge(first.headers(), request.repository, &authorization).await {
            return self.checked(first, &request).await;
        }
        let renewed = self.authorization(request.repository, &url).await?;
        if matches!(renewed, RequestCredential::Token(_)) || renewed != authorization {
            let second = self.send_once(&request, url, &renewed).await?;
            return self.checked(second, &request).await;
        }
        self.checked(first, &request).await
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
        let outgoing = RegistryRequest {
            method: request.method.clone(),
            url,
            accept: request.accept.clone(),
            authorization,
            form: None,
            security: self.security,
            timeout: self.transport.timeouts().total,
        };
        self.transport.send(outgoing).await
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
        let credential = self.credential.as_ref().map(Credential::name);
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
        *self.challenges.lock() = challenges;
        let slot = self.slot(repository);
        let mut slot = slot.lock().await;
        if let (Some(Ok(token)), RequestCredential::Token(header)) = (&slot.token, refused)
            && token.header == *header
        {
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
        let challenges = self.challenges.lock().clone();
        let secret = self.credential.as_ref().map(Credential::secret);
        if challenges.is_empty() || self.base.origin() != url.origin() {
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
            Some(Ok(token)) if token.is_valid(Instant::now()) => return Ok(token.header.clone()),
            Some(Err(error)) => return Err(error.clone()),
            _ => {}
        }
        let default = || format!("repository:{repository}:pull");
        let scope = slot.scope.clone().unwrap_or_else(default);
        let request = TokenRequest {
            challenge,
            scope: &scope,
            credential: self.credential.as_ref(),
            target: url,
            security: self.security,
        };
        let token = request.send(&self.transport).await;
        slot.token = Some(token.clone());
        token.map(|token| token.header)
    }
}

/// Sends `GET /v2/`.
async fn ping(
    transport: &HttpTransport,
    base: &Url,
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
            security,
            timeout,
        })
        .await
}
