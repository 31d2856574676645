//! TLS settings of connections to registries.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certs_dir::HostCertificates;

/// Verification of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// HTTPS with a verified certificate.
    Verified,
    /// HTTPS with any certificate. If that fails, HTTP.
    Insecure,
}

/// Root certificates of the system.
#[derive(Debug)]
pub(super) struct SystemRoots {
    pub(super) store: RootCertStore,
    /// Files that could not be read.
    pub(super) errors: Vec<String>,
}

impl SystemRoots {
    /// Reads the root certificates, from SSL_CERT_FILE and SSL_CERT_DIR if they are set.
    pub(super) fn load() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (_, _) = store.add_parsable_certificates(found.certs);
        Self { store, errors: found.errors.iter().map(ToString::to_string).collect() }
    }
}

/// Creates the TLS settings for a registry.
///
/// # Errors
/// A client certificate that does not match its key, and a malformed CA certificate.
pub(super) fn client_config(
    roots: &SystemRoots,
    certificates: Option<&HostCertificates>,
    security: Security,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = builder(provider)?;
    let builder = match security {
        Security::Verified => {
            let mut store = roots.store.clone();
            for authority in certificates.iter().flat_map(|it| &it.authorities) {
                store.add(authority.clone())?;
            }
            builder.with_root_certificates(store)
        }
        Security::Insecure => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServerCertificate { algorithms })),
    };
    let mut config = match certificates.and_then(|it| it.client.as_ref()) {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// Verifier that accepts any certificate of a server that holds its key.
#[derive(Debug)]
struct AnyServerCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyServerCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
