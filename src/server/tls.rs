//! TLS as this server speaks it: which certificate it shows, what it asks of clients, which protocols it offers.
//!
//! A client certificate is requested and its key is proved, nothing more: who the client is gets decided for every
//! request, where several CAs can be weighed and a stranger is answered with 401 instead of a broken handshake.

mod certificate;
mod client;
mod error;
mod pem;
mod self_signed;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use rustls::{DistinguishedName, ServerConfig, SupportedProtocolVersion};

pub use certificate::{Reload, ServingCertificate, Source};
pub use error::{CertificateError, Place};

/// The flags of TLS.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// File with the serving certificate and its intermediates, in PEM. Re-read every minute.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the private key of --tls-cert-file, in PEM. Re-read every minute.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Folder of the self-signed pair (apiserver.crt, apiserver.key) that is made when no certificate is given.
    #[arg(long, value_name = "FOLDER", default_value = "apiserver.local.config/certificates")]
    pub cert_dir: PathBuf,
    /// The lowest version of TLS that is spoken.
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = MinVersion::Tls12)]
    pub tls_min_version: MinVersion,
}

/// The lowest version of TLS that is spoken. The names are the ones that kube-apiserver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[value(name = "VersionTLS12")]
    Tls12,
    /// TLS 1.3 only.
    #[value(name = "VersionTLS13")]
    Tls13,
}

static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::DEFAULT_VERSIONS,
            Self::Tls13 => &ONLY_TLS13,
        }
    }
}

/// The configuration of every handshake.
///
/// `hints` are the subjects of the CAs whose certificates are wanted. Go's client (hence kube-apiserver's proxy) sends
/// no certificate at all when its issuer is not among them, so they must follow the CAs at run time: make a new
/// configuration then and hand it to [`super::listen::serve`] through its channel. No hints means "any".
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    lowest: MinVersion,
    hints: Vec<DistinguishedName>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = client::AnyCertificate::new(provider.signature_verification_algorithms, hints);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(lowest.versions())?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets keep the state of a session at the client, so resumption costs no memory and no shared lock here.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

#[cfg(test)]
mod tests;
