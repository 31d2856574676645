//! TLS as this server speaks it: which certificate it shows, what it asks of clients, which protocols it offers.
//!
//! A client certificate is requested and its key is proved, nothing more: who the client is gets decided for every
//! request, where several CAs can be weighed and a stranger is answered with 401 instead of a broken handshake.

mod certificate;
mod cipher;
mod client;
mod error;
mod examine;
mod names;
mod options;
mod own;
mod pem;
mod serving;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ProducesTickets, ResolvesServerCert};
use rustls::{DistinguishedName, ServerConfig, SupportedProtocolVersion};

pub use certificate::{ServingCertificate, Source};
pub use cipher::CipherSuite;
pub use error::{CertificateError, Place};
pub use examine::{Examined, examine};
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

/// What every configuration of a server has in common, so that sessions outlive a change of configuration.
#[derive(Clone)]
pub struct Protocol {
    lowest: MinVersion,
    provider: Arc<CryptoProvider>,
    /// Tickets keep the state of a session at the client, so resumption costs no memory and no shared lock here.
    tickets: Arc<dyn ProducesTickets>,
}

impl Protocol {
    /// `suites` are those of TLS 1.2; none means all. Those of TLS 1.3 are always on.
    pub fn new(lowest: MinVersion, suites: &[CipherSuite]) -> Result<Self, rustls::Error> {
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Self { lowest, provider: Arc::new(cipher::provider(suites)), tickets })
    }

    /// What the flags ask for.
    pub fn from_options(options: &Options) -> Result<Self, rustls::Error> {
        Self::new(options.tls_min_version, &options.tls_cipher_suites)
    }
}

/// The configuration of every handshake.
///
/// `hints` are the subjects of the CAs whose certificates are wanted. Go's client (hence kube-apiserver's proxy) sends
/// no certificate at all when its issuer is not among them, so they must follow the CAs at run time: make a new
/// configuration then and hand it to the listener through its channel. No hints means "any".
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    protocol: &Protocol,
    hints: Vec<DistinguishedName>,
) -> Result<ServerConfig, rustls::Error> {
    let Protocol { lowest, provider, tickets } = protocol.clone();
    let verifier = client::AnyCertificate::new(provider.signature_verification_algorithms, hints);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(lowest.versions())?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(config)
}

#[cfg(test)]
mod tests;
