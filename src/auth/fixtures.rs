//! Authorities, certificates and control planes for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
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

/// A control plane that answers each question by `answer`, which gets the body of the question, and counts them.
pub(super) fn control_plane(
    answer: impl Fn(serde_json::Value) -> (u16, serde_json::Value) + Clone + Send + Sync + 'static,
) -> (kube::Client, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (answer, count) = (answer.clone(), count.clone());
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
            let (code, body) = answer(serde_json::from_slice(&body).unwrap_or_default());
            let response = http::Response::builder().status(code);
            Ok::<_, std::io::Error>(response.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap())
        }
    });
    (kube::Client::new(service, "default"), asked)
}
