//! TLS: the serving certificate, client certificates, and protocol versions.
//!
//! A handshake requests a client certificate and verifies possession of its key, no more.
//! Authentication verifies the issuer for each request, so it can use several CAs, and an unknown
//! client gets 401 instead of a failed handshake.

mod certificate;
mod cipher;
mod client;
mod error;
mod inspect;
mod lifetime;
mod names;
mod options;
mod pem;
mod self_managed;
mod serving;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ProducesTickets, ResolvesServerCert};
use rustls::{DistinguishedName, ServerConfig, SupportedProtocolVersion};

pub use certificate::{CertificateSource, ServingCertificate};
pub use cipher::CipherSuite;
pub use error::{CertificateError, Location};
pub use inspect::{CertificateStatus, inspect, self_made_ca};
pub use lifetime::Lifetime;
pub use names::ServiceReference;
pub use options::{FlagError, MinVersion, Options};
pub use serving::Serving;

static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::DEFAULT_VERSIONS,
            Self::Tls13 => &ONLY_TLS13,
        }
    }
}

/// Settings that all TLS configurations of a server share, so that sessions survive a change of
/// configuration.
#[derive(Clone)]
pub struct Protocol {
    min_version: MinVersion,
    provider: Arc<CryptoProvider>,
    /// Session tickets. They keep the state at the client, so resumption needs neither memory nor a
    /// lock in the server.
    tickets: Arc<dyn ProducesTickets>,
}

impl Protocol {
    /// `suites` are those of TLS 1.2; an empty list enables all. Those of TLS 1.3 are always
    /// enabled.
    pub fn new(min_version: MinVersion, suites: &[CipherSuite]) -> Result<Self, rustls::Error> {
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Self { min_version, provider: Arc::new(cipher::provider(suites)), tickets })
    }

    /// The settings of these flags.
    pub fn from_options(options: &Options) -> Result<Self, rustls::Error> {
        Self::new(options.tls_min_version, &options.tls_cipher_suites)
    }
}

/// The configuration of handshakes.
///
/// `hints` are the subjects of the accepted client CAs; an empty list accepts any. Go's client, and
/// so the proxy of kube-apiserver, sends no certificate if its issuer is not among them. When the
/// CAs change, send a new configuration to the listener through its channel.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    protocol: &Protocol,
    hints: Vec<DistinguishedName>,
) -> Result<ServerConfig, rustls::Error> {
    let Protocol { min_version, provider, tickets } = protocol.clone();
    let verifier = client::AnyCertificate::new(provider.signature_verification_algorithms, hints);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(min_version.versions())?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(config)
}

#[cfg(test)]
mod tests;
