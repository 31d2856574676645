//! `TokenCache`: access tokens that all imports of the process share until they expire.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::credential::Credential;
use super::error::RegistryError;
use super::token::AccessToken;
use super::trust::Security;
use crate::runtime::SingleFlight;

/// Maximum size of all tokens with their keys, in bytes.
const CAPACITY_BYTES: u64 = 16 << 20;
/// Estimated size of a token with its key, in bytes.
const TYPICAL_BYTES: u64 = 2 << 10;
/// Maximum number of requests for tokens that others wait for.
const MAX_FLIGHTS: usize = 1_024;

/// Tokens by everything that they depend on. A credential has the name of its namespace, so that
/// namespaces never share tokens unless they are anonymous or use the credentials of the server.
pub(super) struct TokenCache {
    tokens: Cache<Arc<TokenKey>, AccessToken, TokenWeighter>,
    requests: SingleFlight<Arc<TokenKey>, Result<AccessToken, RegistryError>>,
}

/// The use of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    /// Origin of the registry that gets the token.
    pub(super) registry: String,
    pub(super) security: Security,
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: String,
    pub(super) credential: Option<Credential>,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        let items = (CAPACITY_BYTES / TYPICAL_BYTES) as usize;
        Self {
            tokens: Cache::with_weighter(items, CAPACITY_BYTES, TokenWeighter),
            // A failure is shared with the requests that wait for it, and with no later one.
            requests: SingleFlight::new(MAX_FLIGHTS, |_| Duration::ZERO),
        }
    }

    /// Returns a valid token, from memory or by a request that concurrent callers share.
    ///
    /// # Errors
    /// The error of the request.
    pub(super) async fn get<F>(
        &self,
        key: &Arc<TokenKey>,
        request: impl FnOnce() -> F,
    ) -> Result<AccessToken, RegistryError>
    where
        F: Future<Output = Result<AccessToken, RegistryError>> + Send + 'static,
    {
        if let Some(token) = self.tokens.get(key).filter(|token| token.is_valid(Instant::now())) {
            return Ok(token);
        }
        let token = self.requests.get(key, request).await?;
        self.tokens.insert(key.clone(), token.clone());
        Ok(token)
    }

    /// Forgets a token that a registry refused.
    pub(super) fn forget(&self, key: &TokenKey, refused: &HeaderValue) {
        self.tokens.remove_if(key, |token| token.header == *refused);
    }
}

#[derive(Clone)]
struct TokenWeighter;

impl Weighter<Arc<TokenKey>, AccessToken> for TokenWeighter {
    fn weight(&self, key: &Arc<TokenKey>, token: &AccessToken) -> u64 {
        /// Estimated memory besides the texts, in bytes.
        const ENTRY: usize = 400;
        let TokenKey { registry, realm, service, scope, .. } = &**key;
        let service = service.as_ref().map_or(0, String::len);
        let texts = registry.len() + realm.len() + service + scope.len() + token.header.len();
        (ENTRY + texts) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(scope: &str) -> Arc<TokenKey> {
        Arc::new(TokenKey {
            registry: "https://r.io".into(),
            security: Security::Verified,
            realm: "https://t.io/token".into(),
            service: None,
            scope: scope.into(),
            credential: None,
        })
    }

    fn token(text: &str, lifetime: u64) -> AccessToken {
        let header = HeaderValue::from_str(text).unwrap();
        AccessToken::new(header, Instant::now(), Some(Duration::from_secs(lifetime)))
    }

    #[tokio::test]
    async fn token_is_requested_again_after_it_was_refused() {
        let (cache, requests) = (TokenCache::new(), AtomicUsize::new(0));
        let get = async |scope| {
            let request = || {
                let at = requests.fetch_add(1, Ordering::Relaxed);
                async move { Ok(token(&format!("t{at}"), 300)) }
            };
            cache.get(&key(scope), request).await
        };
        for (scope, expected) in [("a", "t0"), ("a", "t0"), ("b", "t1")] {
            assert_eq!(get(scope).await.unwrap().header, expected);
        }
        cache.forget(&key("a"), &HeaderValue::from_static("other"));
        assert_eq!(get("a").await.unwrap().header, "t0");
        cache.forget(&key("a"), &HeaderValue::from_static("t0"));
        assert_eq!(get("a").await.unwrap().header, "t2");
    }

    #[tokio::test]
    async fn memory_of_tokens_is_bounded() {
        let cache = TokenCache::new();
        let large = "x".repeat(64 << 10);
        for at in 0..1_000 {
            let token = token(&large, 300);
            cache.get(&key(&at.to_string()), || async { Ok(token) }).await.unwrap();
        }
        let kept = cache.tokens.len();
        assert!(kept > 10 && (kept * large.len()) as u64 <= CAPACITY_BYTES, "{kept}");
    }
}
