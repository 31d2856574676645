//! `RegistryClient`: the client of a process for registries.

use std::sync::Arc;

use tracing::{info, warn};

use super::client_state::ClientState;
use super::keyring::{CredentialSet, Keyring};
use super::known_registries::KnownRegistries;
use super::limits::PullTimeouts;
use super::options::{Options, RegistryOptionsError};
use super::registry_limiters::RegistryLimiters;
use super::session::PullSession;
use super::token_cache::TokenCache;
use super::transport::HttpTransport;
use super::trust::SystemRoots;
use crate::telemetry::import_metrics::ImportMetrics;

/// Client for registries. All sessions share connections, the pace of requests, and tokens.
#[derive(Clone)]
pub struct RegistryClient {
    state: Arc<ClientState>,
    credentials: Arc<CredentialSet>,
}

impl RegistryClient {
    /// Reads the files of the flags and the root certificates of the system. A system without root
    /// certificates is logged.
    ///
    /// # Errors
    /// An unusable file.
    pub fn new(
        options: &Options,
        timeouts: PullTimeouts,
        metrics: ImportMetrics,
    ) -> Result<Self, RegistryOptionsError> {
        let roots = SystemRoots::load();
        for error in &roots.errors {
            warn!(error, "cannot read root certificates");
        }
        match roots.store.len() {
            0 => warn!(
                "found no root certificates: imports from registries with public certificates \
                 will fail; set SSL_CERT_FILE or SSL_CERT_DIR"
            ),
            count => info!(count, "loaded root certificates"),
        }
        let (limiters, certificates) =
            (RegistryLimiters::new(options.pacing), options.certificates()?);
        let transport =
            HttpTransport::new(options.guard(), roots, certificates, timeouts, limiters, metrics);
        let state = ClientState {
            transport,
            rules: options.registries()?,
            known: KnownRegistries::new(),
            tokens: TokenCache::new(),
        };
        Ok(Self { state: Arc::new(state), credentials: Arc::new(options.credentials()?) })
    }

    /// Starts an import with the credentials of a namespace. Those of `--registry-config` are used
    /// if none of the namespace match.
    pub fn session(&self, mut keyring: Keyring) -> PullSession {
        keyring.push(CredentialSet::clone(&self.credentials));
        PullSession::new(self.state.clone(), keyring)
    }
}
