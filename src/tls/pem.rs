//! A certificate chain and its key in two PEM files.

use std::fs;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::error::{CertificateError, Location};

/// Characters in a line of a PEM file.
const PEM_WIDTH: usize = 64;

/// Locations of a certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct PairLocations {
    pub(super) certificate: Location,
    pub(super) key: Location,
}

/// Content of both files. It holds a secret, hence no `Debug`.
pub(super) struct PemPair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A usable certificate chain with its key.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// Expiry of the first certificate.
    pub(super) expires: Timestamp,
}

impl Pair {
    /// The pair without the certificate of the CA, which clients already have.
    pub(super) fn without_ca(self) -> Self {
        let Self { key, expires } = self;
        let leaf = key.cert.iter().take(1).cloned().collect();
        Self { key: Arc::new(CertifiedKey::new(leaf, Arc::clone(&key.key))), expires }
    }
}

pub(super) fn read(location: &Location) -> Result<Vec<u8>, CertificateError> {
    fs::read(&location.path)
        .map_err(|cause| CertificateError::Read { location: location.clone(), cause })
}

impl PemPair {
    pub(super) fn new(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self { certificate, key }
    }

    /// Reads both files. If they are replaced meanwhile, the pair may not match; the next load then
    /// reads the new pair.
    pub(super) fn read(locations: &PairLocations) -> Result<Self, CertificateError> {
        Ok(Self { certificate: read(&locations.certificate)?, key: read(&locations.key)? })
    }

    /// Parses the pair. Errors name the invalid file.
    pub(super) fn parse(&self, locations: &PairLocations) -> Result<Pair, CertificateError> {
        let chain = self.chain(&locations.certificate)?;
        let expires = end_of_validity(&chain[0], &locations.certificate)?;
        check_version(&chain[0], &locations.certificate)?;
        let der = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                CertificateError::NoKey(locations.key.clone())
            }
            other => malformed(&locations.key, other),
        })?;
        let signer = any_supported_type(&der).map_err(|error| malformed(&locations.key, error))?;
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch {
                    certificate: locations.certificate.clone(),
                    key: locations.key.clone(),
                });
            }
            Err(error) => return Err(malformed(&locations.certificate, error)),
        }
        Ok(Pair { key: Arc::new(key), expires })
    }

    /// The certificate chain, which is not empty.
    fn chain(&self, location: &Location) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        let chain =
            certificates(&self.certificate).map_err(|reason| malformed(location, reason))?;
        if chain.is_empty() {
            Err(CertificateError::NoCertificate(location.clone()))
        } else {
            Ok(chain)
        }
    }
}

/// All certificates of a PEM file, or the reason why one is invalid. Other blocks are ignored.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Encodes certificates as PEM.
pub(super) fn encode(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for each in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let base64 = BASE64_STANDARD.encode(each);
        for (at, letter) in base64.chars().enumerate() {
            if at > 0 && at % PEM_WIDTH == 0 {
                text.push('\n');
            }
            text.push(letter);
        }
        text.push_str("\n-----END CERTIFICATE-----\n");
    }
    text
}

pub(super) fn end_of_validity(
    leaf: &CertificateDer<'_>,
    location: &Location,
) -> Result<Timestamp, CertificateError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| malformed(location, error))?;
    Timestamp::from_second(leaf.validity().not_after.timestamp())
        .map_err(|error| malformed(location, error))
}

/// Refuses version 1 of X.509, which `openssl x509 -req` issues without extensions.
fn check_version(leaf: &CertificateDer<'_>, location: &Location) -> Result<(), CertificateError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| malformed(location, error))?;
    if leaf.version() == X509Version::V3 {
        return Ok(());
    }
    Err(malformed(
        location,
        "it has no extensions, so it is valid for no host name: issue it with a subjectAltName",
    ))
}

pub(super) fn malformed(location: &Location, reason: impl ToString) -> CertificateError {
    CertificateError::Malformed { location: location.clone(), reason: reason.to_string() }
}
