//! A certificate chain and its key as they lie in two files: reading them and judging whether they are a pair.

use std::fs;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::{CertificateError, Place};

/// The letters in a line of a PEM file.
const PEM_WIDTH: usize = 64;

/// Where the two halves of a pair lie.
#[derive(Clone, Debug)]
pub(super) struct PairPlaces {
    pub(super) certificate: Place,
    pub(super) key: Place,
}

/// The bytes of both files. They hold a secret, hence no `Debug`.
pub(super) struct PemPair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can serve.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// The end of validity of the first certificate.
    pub(super) ends: Timestamp,
}

impl Pair {
    /// The pair as it is shown to clients that hold the CA: without it.
    pub(super) fn without_authority(self) -> Self {
        let Self { key, ends } = self;
        let leaf = key.cert.iter().take(1).cloned().collect();
        Self { key: Arc::new(CertifiedKey::new(leaf, Arc::clone(&key.key))), ends }
    }
}

pub(super) fn read(place: &Place) -> Result<Vec<u8>, CertificateError> {
    fs::read(&place.path).map_err(|cause| CertificateError::Read { place: place.clone(), cause })
}

impl PemPair {
    pub(super) fn new(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self { certificate, key }
    }

    /// Reads both files. They may be of different generations when they are replaced meanwhile; the pair does not
    /// parse then, and the next look finds the new one complete.
    pub(super) fn read(places: &PairPlaces) -> Result<Self, CertificateError> {
        Ok(Self { certificate: read(&places.certificate)?, key: read(&places.key)? })
    }

    /// Makes the pair usable, or says in which file the fault lies.
    pub(super) fn parse(&self, places: &PairPlaces) -> Result<Pair, CertificateError> {
        let chain = self.chain(&places.certificate)?;
        let ends = end_of_validity(&chain[0], &places.certificate)?;
        let der = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => CertificateError::NoKey(places.key.clone()),
            other => malformed(&places.key, other),
        })?;
        let signer = any_supported_type(&der).map_err(|error| malformed(&places.key, error))?;
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch {
                    certificate: places.certificate.clone(),
                    key: places.key.clone(),
                });
            }
            Err(error) => return Err(malformed(&places.certificate, error)),
        }
        Ok(Pair { key: Arc::new(key), ends })
    }

    /// The chain, never empty.
    fn chain(&self, place: &Place) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        let chain = certificates(&self.certificate).map_err(|reason| malformed(place, reason))?;
        if chain.is_empty() { Err(CertificateError::NoCertificate(place.clone())) } else { Ok(chain) }
    }
}

/// All certificates of a PEM file, or what is wrong with one. Anything else in the file is passed over.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Certificates, and nothing else, as a PEM file.
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

fn end_of_validity(leaf: &CertificateDer<'_>, place: &Place) -> Result<Timestamp, CertificateError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| malformed(place, error))?;
    Timestamp::from_second(leaf.validity().not_after.timestamp()).map_err(|error| malformed(place, error))
}

pub(super) fn malformed(place: &Place, reason: impl ToString) -> CertificateError {
    CertificateError::Malformed { place: place.clone(), reason: reason.to_string() }
}
