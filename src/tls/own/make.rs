//! Making certificates, and telling which were made here.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::error::CertificateError;

/// Marks the common name of pairs made here, and with it the ones that may be replaced.
const PAIR_MARK: &str = "imagestream-apiserver@";
/// The same for CAs.
const AUTHORITY_MARK: &str = "imagestream-apiserver-ca@";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PAIR_LIFE: Duration = DAY.saturating_mul(365);
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3650);
/// Clocks of clients may be behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// A new CA: certificate and key in PEM. It signs leaves only.
pub(super) fn authority(now: Timestamp) -> Result<(String, String), CertificateError> {
    let made = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let ends = since_epoch(now) + AUTHORITY_LIFE;
        name_and_date(&mut params, AUTHORITY_MARK, now, ends);
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    };
    made().map_err(|cause| CertificateError::Make { names: Vec::new(), cause })
}

/// A new pair for the names, which does not outlive its issuer: certificate and key in PEM.
pub(super) fn leaf(
    names: &[String],
    issuer: &Issuer<'_, KeyPair>,
    issuer_ends: Timestamp,
    now: Timestamp,
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    name_and_date(&mut params, PAIR_MARK, now, since_epoch(issuer_ends).min(since_epoch(now) + PAIR_LIFE));
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn name_and_date(params: &mut CertificateParams, mark: &str, now: Timestamp, ends: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now) - BACKDATE;
    params.not_after = epoch + ends;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{mark}{}", since_epoch(now).as_secs()));
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0))
}

/// Whether the first certificate of a PEM file is one of a pair made here. What does not parse was not.
pub(in super::super) fn is_pair_of_ours(pem: &[u8]) -> bool {
    CertificateDer::from_pem_slice(pem).is_ok_and(|certificate| is_marked(&certificate, PAIR_MARK))
}

/// Whether the certificate is that of a CA made here, or of a pair from the time when a pair was its own CA.
pub(super) fn is_authority_of_ours(certificate: &CertificateDer<'_>) -> bool {
    is_self_issued(certificate) && (is_marked(certificate, AUTHORITY_MARK) || is_marked(certificate, PAIR_MARK))
}

fn is_marked(certificate: &CertificateDer<'_>, mark: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.is_some_and(|name| name.starts_with(mark))
}

pub(super) fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}

/// When a certificate ends; none for what is no certificate.
pub(super) fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// What is no certificate serves nobody, and has ended too.
pub(super) fn has_ended(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    end_of(certificate).is_none_or(|ends| ends <= now)
}

/// Whether clients that trust `authority` believe the certificate now, apart from its names.
pub(super) fn is_signed_by(leaf: &CertificateDer<'_>, authority: &CertificateDer<'_>, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(authority.clone().into_owned()).is_err() {
        return false;
    }
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let now = UnixTime::since_unix_epoch(since_epoch(now));
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms.all).is_ok()
}
