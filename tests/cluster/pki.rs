//! The certificate authorities of a test cluster and their certificates.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::support::client::Identity;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name, None, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, key()).expect("an authority can be created"))
    }

    /// The certificate of the authority in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a client certificate for a user and an optional group.
    pub(crate) fn user(&self, name: &str, group: Option<&str>) -> Pair {
        self.issue(named(name, group, &[]), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Issues a client certificate that expires after `life`.
    pub(crate) fn user_for(&self, name: &str, life: Duration) -> Pair {
        let mut params = named(name, None, &[]);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("the clock is after 1970");
        params.not_after = date_time_ymd(1970, 1, 1) + now + life;
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Issues a serving certificate for host names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        self.issue(named(names[0], None, names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for a server with host names and addresses that is also a client of
    /// its peers.
    pub(crate) fn member(&self, names: &[&str]) -> Pair {
        let mut params = named(names[0], None, names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.push(usage);
        let key = key();
        let certificate = params.signed_by(&key, &self.0).expect("a certificate can be issued");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Pair {
    /// A client identity with this certificate.
    pub(crate) fn identity(&self) -> Identity {
        let certificate =
            Some((self.certificate.clone().into_bytes(), self.key.clone().into_bytes()));
        Identity { certificate, ..Identity::default() }
    }
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}

fn named(common_name: &str, organization: Option<&str>, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are valid in a certificate");
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
