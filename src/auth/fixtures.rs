//! CAs, certificates and control planes for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::CaBundle;

/// Current time.
pub(super) fn now() -> UnixTime {
    UnixTime::now()
}

/// Time `seconds` before another; after it if negative.
pub(super) fn seconds_before(time: UnixTime, seconds: i64) -> UnixTime {
    let before = time.as_secs().checked_add_signed(-seconds).unwrap();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(before))
}

/// CA with its key.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::until(name, in_an_hour())
    }

    /// CA that expires at `end`.
    pub(super) fn until(name: &str, end: UnixTime) -> Self {
        let (params, key) = (Self::params(name, end), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Intermediate CA, signed by this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (Self::params(name, in_an_hour()), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn params(name: &str, end: UnixTime) -> CertificateParams {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after =
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(end.as_secs());
        params
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(super) fn ca_bundle(&self) -> CaBundle {
        CaBundle::parse(self.pem().as_bytes(), now()).unwrap()
    }

    /// Client certificate without its CA.
    pub(super) fn client(
        &self,
        name: &str,
        organizations: &[&str],
    ) -> Vec<CertificateDer<'static>> {
        self.leaf(name, organizations, &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// Client certificate that expires at `end`.
    pub(super) fn client_until(&self, name: &str, end: UnixTime) -> Vec<CertificateDer<'static>> {
        self.sign(name, &[], &[ExtendedKeyUsagePurpose::ClientAuth], end)
    }

    pub(super) fn leaf(
        &self,
        name: &str,
        organizations: &[&str],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Vec<CertificateDer<'static>> {
        self.sign(name, organizations, usages, in_an_hour())
    }

    fn sign(
        &self,
        name: &str,
        organizations: &[&str],
        usages: &[ExtendedKeyUsagePurpose],
        end: UnixTime,
    ) -> Vec<CertificateDer<'static>> {
        let mut params = Self::params(name, end);
        params.is_ca = IsCa::NoCa;
        for organization in organizations {
            params.distinguished_name.push(DnType::OrganizationName, *organization);
        }
        params.extended_key_usages = usages.to_vec();
        vec![params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()]
    }
}

fn in_an_hour() -> UnixTime {
    seconds_before(now(), -3600)
}

/// Control plane that responds to each request body by `respond`, and the number of requests.
pub(super) fn control_plane(
    respond: impl Fn(serde_json::Value) -> (u16, serde_json::Value) + Clone + Send + Sync + 'static,
) -> (kube::Client, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (respond, count) = (respond.clone(), count.clone());
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            let body =
                request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
            let (code, body) = respond(serde_json::from_slice(&body).unwrap_or_default());
            let response = http::Response::builder().status(code);
            Ok::<_, std::io::Error>(
                response.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    (kube::Client::new(service, "default"), requests)
}
