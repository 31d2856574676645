//! Certificate authorities and certificates of registries.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Certificate of a server, with its key.
pub(crate) struct ServerCertificate {
    pem: String,
    key: String,
    client_authority: Option<String>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("key generation succeeds");
        let mut params = CertificateParams::new([]).expect("an empty list of names is valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("signing succeeds").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Certificate for 127.0.0.1 that expires at the end of a year.
    pub(crate) fn server(&self, year: i32) -> ServerCertificate {
        self.server_for(&["127.0.0.1", "localhost"], year)
    }

    /// Certificate for these names.
    pub(crate) fn server_for(&self, names: &[&str], year: i32) -> ServerCertificate {
        let (pem, key) = self.sign(names, year);
        ServerCertificate { pem, key, client_authority: None }
    }

    /// Certificate and key of a client, as PEM.
    pub(crate) fn client(&self) -> (String, String) {
        self.sign(&["client"], 2099)
    }

    fn sign(&self, names: &[&str], year: i32) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("key generation succeeds");
        let certificate = params.signed_by(&key, &self.issuer).expect("signing succeeds");
        (certificate.pem(), key.serialize_pem())
    }
}

impl ServerCertificate {
    /// The same certificate for a server that demands client certificates of an authority.
    pub(crate) fn demanding(self, authority: &Authority) -> Self {
        Self { client_authority: Some(authority.pem.clone()), ..self }
    }

    pub(super) fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider has all versions");
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is PEM");
                roots.add(root).expect("it is an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("it has roots"))
            }
        };
        let chain = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("it is PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("it is PEM");
        let mut config = builder.with_single_cert(vec![chain], key).expect("the key matches");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}
