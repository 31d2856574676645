//! Authorities and certificates for tests.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::Authority;

/// The present time.
pub(super) fn now() -> UnixTime {
    UnixTime::now()
}

/// An authority with its key.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// An authority that this one vouches for.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let end = UnixTime::now().as_secs() + 3600;
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(end);
        params
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(super) fn authority(&self) -> Authority {
        Authority::parse(self.pem().as_bytes(), now()).unwrap()
    }

    /// A certificate for a client, alone.
    pub(super) fn client(&self, name: &str, organizations: &[&str]) -> Vec<CertificateDer<'static>> {
        self.leaf(name, organizations, &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    pub(super) fn leaf(
        &self,
        name: &str,
        organizations: &[&str],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Vec<CertificateDer<'static>> {
        let mut params = Self::params(name);
        params.is_ca = IsCa::NoCa;
        for organization in organizations {
            params.distinguished_name.push(DnType::OrganizationName, *organization);
        }
        params.extended_key_usages = usages.to_vec();
        vec![params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()]
    }
}
