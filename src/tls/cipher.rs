//! Cipher suites, by the names of Go's crypto/tls that kube-apiserver uses.
//!
//! rustls has no suites without forward secrecy or authenticated encryption.

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite as Id, SupportedCipherSuite};

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CipherSuite {
    /// TLS 1.2, for certificates with an elliptic curve key.
    #[value(name = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")]
    EcdsaAes128,
    /// TLS 1.2, for certificates with an elliptic curve key.
    #[value(name = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")]
    EcdsaAes256,
    /// TLS 1.2, for certificates with an elliptic curve key.
    #[value(
        name = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        alias = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"
    )]
    EcdsaChacha20,
    /// TLS 1.2, for certificates with an RSA key.
    #[value(name = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")]
    RsaAes128,
    /// TLS 1.2, for certificates with an RSA key.
    #[value(name = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")]
    RsaAes256,
    /// TLS 1.2, for certificates with an RSA key.
    #[value(
        name = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        alias = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"
    )]
    RsaChacha20,
    /// TLS 1.3.
    #[value(name = "TLS_AES_128_GCM_SHA256")]
    Tls13Aes128,
    /// TLS 1.3.
    #[value(name = "TLS_AES_256_GCM_SHA384")]
    Tls13Aes256,
    /// TLS 1.3.
    #[value(name = "TLS_CHACHA20_POLY1305_SHA256")]
    Tls13Chacha20,
}

impl CipherSuite {
    fn id(self) -> Id {
        match self {
            Self::EcdsaAes128 => Id::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Self::EcdsaAes256 => Id::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            Self::EcdsaChacha20 => Id::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            Self::RsaAes128 => Id::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            Self::RsaAes256 => Id::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            Self::RsaChacha20 => Id::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            Self::Tls13Aes128 => Id::TLS13_AES_128_GCM_SHA256,
            Self::Tls13Aes256 => Id::TLS13_AES_256_GCM_SHA384,
            Self::Tls13Chacha20 => Id::TLS13_CHACHA20_POLY1305_SHA256,
        }
    }
}

/// A crypto provider with these TLS 1.2 suites (all if none is given) and all TLS 1.3 suites, which
/// cannot be disabled, as in Go.
pub(super) fn provider(suites: &[CipherSuite]) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            matches!(suite, SupportedCipherSuite::Tls13(_))
                || suites.iter().any(|each| each.id() == suite.suite())
        });
    }
    provider
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_suite_of_the_provider_has_a_name() {
        let all = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        assert_eq!(CipherSuite::value_variants().len(), all.len());
        for each in CipherSuite::value_variants() {
            assert!(all.iter().any(|suite| suite.suite() == each.id()), "{each:?}");
        }
    }

    #[test]
    fn tls_1_3_suites_cannot_be_disabled() {
        let suites = provider(&[CipherSuite::RsaAes128]).cipher_suites;
        let tls12: Vec<_> = suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .map(|suite| suite.suite())
            .collect();
        assert_eq!((tls12, suites.len()), (vec![Id::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], 4));
    }
}
