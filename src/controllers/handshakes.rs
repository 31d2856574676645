//! The configuration of TLS handshakes, which names the current CAs of clients.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::sync::watch;
use tracing::error;

use super::controller::Controller;
use crate::auth::TrustState;
use crate::tls::{self, Protocol, ServingCertificate};

/// Makes a new configuration when the CAs of clients change.
///
/// Clients in Go send no certificate if the configuration does not name its CA.
pub struct HandshakeController {
    certificate: Arc<ServingCertificate>,
    protocol: Protocol,
    trusted: watch::Receiver<TrustState>,
    config: watch::Sender<Arc<ServerConfig>>,
}

impl HandshakeController {
    /// A controller, and the configuration that it keeps current.
    ///
    /// # Errors
    /// The configuration for the current CAs cannot be made.
    pub fn new(
        certificate: Arc<ServingCertificate>,
        protocol: Protocol,
        mut trusted: watch::Receiver<TrustState>,
    ) -> Result<(Self, watch::Receiver<Arc<ServerConfig>>), rustls::Error> {
        let hints = trusted.borrow_and_update().trust.subjects();
        let config = tls::server_config(certificate.clone(), &protocol, hints)?;
        let (sender, receiver) = watch::channel(Arc::new(config));
        Ok((Self { certificate, protocol, trusted, config: sender }, receiver))
    }

    async fn follow(&mut self) {
        while self.trusted.changed().await.is_ok() {
            let hints = self.trusted.borrow_and_update().trust.subjects();
            match tls::server_config(self.certificate.clone(), &self.protocol, hints) {
                Ok(config) => drop(self.config.send_replace(Arc::new(config))),
                Err(error) => {
                    error!(%error, "cannot use new client CAs in TLS handshakes; keeping the previous ones")
                }
            }
        }
        // Only a shutdown stops the sender, and it stops this controller as well.
        std::future::pending().await
    }
}

impl Controller for HandshakeController {
    fn name(&self) -> &'static str {
        "handshakes"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.follow())
    }
}
