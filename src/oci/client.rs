//! `RegistryClient`: the client of a process for registries.

use std::sync::Arc;

use tracing::{info, warn};

use super::keyring::{CredentialSet, Keyring};
use super::limits::PullTimeouts;
use super::options::{Options, RegistryOptionsError};
use super::registries_conf::RegistriesConf;
use super::session::PullSession;
use super::transport::HttpTransport;
use super::trust::SystemRoots;

/// Client for registries. Connections are shared by all sessions.
#[derive(Clone)]
pub struct RegistryClient {
    transport: Arc<HttpTransport>,
    registries: Arc<RegistriesConf>,
    credentials: Arc<CredentialSet>,
}

impl RegistryClient {
    /// Reads the files of the flags and the root certificates of the system. A system without root
    /// certificates is logged.
    ///
    /// # Errors
    /// An unusable file.
    pub fn new(options: &Options, timeouts: PullTimeouts) -> Result<Self, RegistryOptionsError> {
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
        let transport =
            HttpTransport::new(options.guard(), roots, options.certificates()?, timeouts);
        Ok(Self {
            transport: Arc::new(transport),
            registries: Arc::new(options.registries()?),
            credentials: Arc::new(options.credentials()?),
        })
    }

    /// Starts an import with the credentials of a namespace. Those of `--registry-config` are used
    /// if none of the namespace match.
    pub fn session(&self, mut keyring: Keyring) -> PullSession {
        keyring.push(CredentialSet::clone(&self.credentials));
        PullSession::new(self.transport.clone(), self.registries.clone(), keyring)
    }
}
