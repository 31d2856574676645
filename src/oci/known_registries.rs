//! `KnownRegistries`: the responses of registries to the first request, for later imports.

use std::time::Duration;

use quick_cache::sync::Cache;
use reqwest::Url;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::error::RegistryError;
use super::trust::Security;
use crate::runtime::SingleFlight;

/// Maximum number of registries.
const CAPACITY: usize = 1_024;
/// Time after which a registry gets a first request again.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Maximum number of challenges that are kept.
const MAX_CHALLENGES: usize = 8;

/// Registries by host and port and verification.
pub(super) struct KnownRegistries {
    known: Cache<RegistryKey, Remembered>,
    requests: SingleFlight<RegistryKey, Result<RegistryFace, RegistryError>>,
}

/// A server and the verification of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RegistryKey {
    /// Host and port.
    pub(super) server: String,
    pub(super) security: Security,
}

/// A registry as it answered the first request.
#[derive(Clone, Debug)]
pub(super) struct RegistryFace {
    /// Scheme, host and port.
    pub(super) base: Url,
    /// Authentication that it demands. Without scopes.
    pub(super) challenges: Vec<Challenge>,
}

#[derive(Clone)]
struct Remembered {
    face: RegistryFace,
    until: Instant,
}

impl KnownRegistries {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::new(CAPACITY),
            // A failure is shared with the requests that wait for it, and with no later one.
            requests: SingleFlight::new(CAPACITY, |_| Duration::ZERO),
        }
    }

    /// Returns a registry that an earlier import met.
    pub(super) fn find(&self, key: &RegistryKey) -> Option<RegistryFace> {
        let found = self.known.get(key)?;
        (Instant::now() < found.until).then_some(found.face)
    }

    /// Meets a registry by a first request, which concurrent callers share.
    ///
    /// # Errors
    /// The error of the request.
    pub(super) async fn meet<F>(
        &self,
        key: &RegistryKey,
        first_request: impl FnOnce() -> F,
    ) -> Result<RegistryFace, RegistryError>
    where
        F: Future<Output = Result<RegistryFace, RegistryError>> + Send + 'static,
    {
        let face = self.requests.get(key, first_request).await?;
        if face.challenges.len() <= MAX_CHALLENGES {
            let until = Instant::now() + LIFETIME;
            self.known.insert(key.clone(), Remembered { face: face.clone(), until });
        }
        Ok(face)
    }

    pub(super) fn forget(&self, key: &RegistryKey) {
        self.known.remove(key);
    }
}
