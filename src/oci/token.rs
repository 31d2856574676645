//! Access tokens of token servers.
//!
//! As <https://distribution.github.io/distribution/spec/auth/token/> and, for identity tokens,
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use std::time::Duration;

use http::{HeaderValue, Method};
use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::challenge::BearerChallenge;
use super::credential::{Credential, CredentialSecret, secret_header};
use super::error::RegistryError;
use super::failure::without_query;
use super::limits::MAX_ERROR_BYTES;
use super::request_sender::RequestSender;
use super::response_error::{ErrorCode, ResponseError};
use super::transport::{HttpTransport, RegistryRequest};
use super::trust::Security;

/// Lifetime of a token without `expires_in`, and the shortest that is respected, as in
/// github.com/distribution/distribution.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// Longest lifetime that is respected.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Part of the lifetime in which a token is no longer used, as the request takes time and clocks
/// differ.
const MARGIN: u32 = 10;
/// Name of the client in requests with an identity token.
const CLIENT_ID: &str = env!("CARGO_PKG_NAME");

/// A token as a header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessToken {
    pub(super) header: HeaderValue,
    expires: Instant,
}

/// A request for a token.
pub(super) struct TokenRequest {
    pub(super) challenge: BearerChallenge,
    pub(super) scope: String,
    pub(super) sender: RequestSender,
    /// URL of the request to the registry that needs the token.
    pub(super) target: Url,
    pub(super) security: Security,
}

#[derive(Deserialize)]
struct TokenBody {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl AccessToken {
    /// A token that was requested at `requested` and is valid for a time that its server may name.
    pub(super) fn new(header: HeaderValue, requested: Instant, lifetime: Option<Duration>) -> Self {
        let lifetime = lifetime.map_or(MIN_LIFETIME, |it| it.clamp(MIN_LIFETIME, MAX_LIFETIME));
        Self { header, expires: requested + lifetime - lifetime / MARGIN }
    }

    pub(super) fn is_valid(&self, now: Instant) -> bool {
        now < self.expires
    }
}

impl TokenRequest {
    /// Requests a token.
    ///
    /// # Errors
    /// A realm that may not get the credential, and an unusable response.
    pub(super) async fn send(
        &self,
        transport: &HttpTransport,
    ) -> Result<AccessToken, RegistryError> {
        let requested = Instant::now();
        let incoming = transport.send(self.outgoing(transport)?).await?;
        if !incoming.status().is_success() {
            let (status, headers) = (incoming.status(), incoming.headers().clone());
            let body = incoming.read_error().await;
            return Err(RegistryError::TokenResponse {
                url: without_query(&self.target),
                response: ResponseError::new(status, &headers, &body, ErrorCode::UNKNOWN),
                credential: self.sender.credential_name(),
            });
        }
        let body = incoming.read("token response", MAX_ERROR_BYTES).await?;
        let body: TokenBody = serde_json::from_slice(&body)
            .map_err(|_| self.error("unable to decode token response: it is not a JSON object"))?;
        let token = [body.access_token, body.token].into_iter().flatten();
        let token = token.into_iter().find(|token| !token.is_empty());
        let header = token.and_then(|token| secret_header(&format!("Bearer {token}")));
        let header = header.ok_or_else(|| {
            self.error("authorization server did not include a token in the response")
        })?;
        Ok(AccessToken::new(header, requested, body.expires_in.map(Duration::from_secs)))
    }

    fn error(&self, reason: &str) -> RegistryError {
        RegistryError::Token { url: without_query(&self.target), reason: reason.into() }
    }

    /// The URL of the token server. It gets the credential, so it must not be less secure than the
    /// registry.
    fn realm(&self) -> Result<Url, RegistryError> {
        let realm = Url::parse(&self.challenge.realm)
            .map_err(|_| self.error("the realm of the challenge is not a URL"))?;
        let is_permitted = match realm.scheme() {
            "https" => true,
            "http" => self.target.scheme() == "http",
            _ => false,
        };
        if !is_permitted {
            return Err(self.error("the realm of the challenge must be an https URL"));
        }
        if !realm.username().is_empty() || realm.password().is_some() {
            return Err(self.error("the realm of the challenge has user information"));
        }
        Ok(realm)
    }

    fn outgoing(&self, transport: &HttpTransport) -> Result<RegistryRequest<'_>, RegistryError> {
        let mut url = self.realm()?;
        let secret = self.sender.credential.as_ref().map(Credential::secret);
        let basic = secret.and_then(CredentialSecret::basic);
        let service = self.challenge.service.as_deref();
        let mut outgoing = RegistryRequest {
            method: Method::GET,
            url: url.clone(),
            accept: None,
            authorization: None,
            form: None,
            sender: &self.sender,
            security: self.security,
            timeout: transport.timeouts().handshake,
        };
        if let Some(CredentialSecret::IdentityToken(token)) = secret {
            let mut form = url;
            form.set_query(None);
            form.query_pairs_mut()
                .extend_pairs([("client_id", CLIENT_ID), ("grant_type", "refresh_token")])
                .extend_pairs([("refresh_token", token.as_str()), ("scope", self.scope.as_str())])
                .extend_pairs(service.map(|service| ("service", service)));
            outgoing.method = Method::POST;
            outgoing.form = form.query().map(str::to_owned);
            return Ok(outgoing);
        }
        let user = basic.as_ref().map(|(user, _)| *user);
        url.query_pairs_mut()
            .extend_pairs(user.map(|user| ("account", user)))
            .extend_pairs(self.scope.split(' ').map(|scope| ("scope", scope)))
            .extend_pairs(service.map(|service| ("service", service)));
        outgoing.url = url;
        outgoing.authorization = basic.map(|(_, header)| header);
        Ok(outgoing)
    }
}
