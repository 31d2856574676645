//! Issues certificates, and recognizes those that this server issued.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::error::CertificateError;

/// Prefix of the common name of serving certificates that this server issued and may replace.
const PAIR_PREFIX: &str = "imagestream-apiserver@";
/// Prefix of the common name of CAs that this server created and may replace.
const CA_PREFIX: &str = "imagestream-apiserver-ca@";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PAIR_LIFETIME: Duration = DAY.saturating_mul(365);
const CA_LIFETIME: Duration = DAY.saturating_mul(3650);
/// Tolerance for client clocks that are behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// Creates a CA that can sign leaf certificates only. Returns certificate and key in PEM.
pub(super) fn ca(now: Timestamp) -> Result<(String, String), CertificateError> {
    let create = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let expires = since_epoch(now) + CA_LIFETIME;
        name_and_date(&mut params, CA_PREFIX, now, expires);
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    };
    create().map_err(|cause| CertificateError::Issue { names: Vec::new(), cause })
}

/// Issues a serving certificate that expires no later than its issuer. Returns certificate and key
/// in PEM.
pub(super) fn leaf(
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
    issuer_expires: Timestamp,
    now: Timestamp,
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    name_and_date(
        &mut params,
        PAIR_PREFIX,
        now,
        since_epoch(issuer_expires).min(since_epoch(now) + PAIR_LIFETIME),
    );
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn name_and_date(params: &mut CertificateParams, prefix: &str, now: Timestamp, expires: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now) - BACKDATE;
    params.not_after = epoch + expires;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{prefix}{}", since_epoch(now).as_secs()));
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0))
}

/// Returns true if the first certificate of a PEM file is a serving certificate that this server
/// issued.
pub(in super::super) fn is_own_pair(pem: &[u8]) -> bool {
    CertificateDer::from_pem_slice(pem)
        .is_ok_and(|certificate| has_prefix(&certificate, PAIR_PREFIX))
}

/// Returns true for a CA that this server created, or a self-signed pair of an earlier version.
pub(super) fn is_own_ca(certificate: &CertificateDer<'_>) -> bool {
    is_self_issued(certificate)
        && (has_prefix(certificate, CA_PREFIX) || has_prefix(certificate, PAIR_PREFIX))
}

fn has_prefix(certificate: &CertificateDer<'_>, prefix: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.is_some_and(|name| name.starts_with(prefix))
}

pub(super) fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}

/// Expiry of a certificate; none if it cannot be parsed.
pub(super) fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// Returns true for an expired certificate and for one that cannot be parsed.
pub(super) fn is_expired(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    expiry(certificate).is_none_or(|expires| expires <= now)
}

/// Returns true if clients that trust `ca` accept the certificate now, names aside.
pub(super) fn is_signed_by(
    leaf: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
    now: Timestamp,
) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(ca.clone().into_owned()).is_err() {
        return false;
    }
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    let algorithms =
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let now = UnixTime::since_unix_epoch(since_epoch(now));
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms.all).is_ok()
}
