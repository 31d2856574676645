//! The stored form of the self-managed CA and serving certificate.

use super::super::pem::{Pair, PairLocations, PemPair};

/// CA and serving certificate in PEM. It holds secrets, hence no `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in super::super) struct CertificateData {
    /// The CAs that clients must trust: the signing CA first, then former ones.
    pub(in super::super) ca_certificates: Option<Vec<u8>>,
    /// Key of the signing CA.
    pub(in super::super) ca_key: Option<Vec<u8>>,
    /// Serving certificate, followed by its CA.
    pub(in super::super) certificate: Option<Vec<u8>>,
    /// Key of the serving certificate.
    pub(in super::super) key: Option<Vec<u8>>,
}

/// Locations of the parts of a [`CertificateData`], for error texts.
#[derive(Clone, Debug)]
pub(in super::super) struct DataLocations {
    /// Certificates and key of the CA.
    pub(in super::super) ca: PairLocations,
    /// Serving certificate and its key.
    pub(in super::super) pair: PairLocations,
}

impl CertificateData {
    /// The serving pair, if it is usable.
    pub(super) fn pair(&self, locations: &DataLocations) -> Option<Pair> {
        let (Some(certificate), Some(key)) = (self.certificate.clone(), self.key.clone()) else {
            return None;
        };
        PemPair::new(certificate, key).parse(&locations.pair).ok()
    }
}
