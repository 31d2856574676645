//! The signing CA: the certificate of the list that belongs to the key.

use jiff::Timestamp;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::error::CertificateError;
use super::super::pem::encode;
use super::certificate_data::CertificateData;
use super::issue;

/// State of the CA in existing data.
pub(super) enum CaState {
    /// No CA exists, and a new one may be created.
    Missing,
    /// The CA is invalid or incomplete, for this reason.
    Unusable(String),
    /// The CA can sign.
    Usable(Box<SigningCa>),
}

/// A CA with its key.
pub(super) struct SigningCa {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) starts: Timestamp,
    pub(super) expires: Timestamp,
    /// True if this server created the CA and may replace it.
    pub(super) is_own: bool,
    issuer: Issuer<'static, KeyPair>,
}

/// Finds the CA. `trusted` is the list in the data, or the reason why it cannot be parsed.
pub(super) fn find(
    data: &CertificateData,
    trusted: &Result<Vec<CertificateDer<'static>>, String>,
) -> CaState {
    let trusted = match trusted {
        Ok(trusted) => trusted,
        Err(reason) => return CaState::Unusable(reason.clone()),
    };
    let Some(key) = data.ca_key.as_deref() else {
        // A crash while the first CA is stored leaves its certificate without the key. The
        // certificate stays in the list.
        let is_interrupted = data.certificate.is_none() && trusted.iter().all(issue::is_own_ca);
        return match &data.ca_certificates {
            None => CaState::Missing,
            Some(_) if is_interrupted => CaState::Missing,
            Some(_) => CaState::Unusable("its key is missing".to_owned()),
        };
    };
    let key = std::str::from_utf8(key).map_err(|error| error.to_string());
    let key = match key.and_then(|pem| KeyPair::from_pem(pem).map_err(|error| error.to_string())) {
        Ok(key) => key,
        Err(reason) => return CaState::Unusable(format!("its key cannot be used ({reason})")),
    };
    if data.ca_certificates.is_none() {
        return CaState::Unusable("its key has no certificate beside it".to_owned());
    }
    let public = key.subject_public_key_info();
    match trusted.iter().find(|each| has_key(each, &public)) {
        None => CaState::Unusable("its key belongs to none of its certificates".to_owned()),
        Some(certificate) => usable(certificate, key)
            .map_or_else(CaState::Unusable, |ca| CaState::Usable(Box::new(ca))),
    }
}

fn has_key(certificate: &CertificateDer<'_>, public: &[u8]) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().raw == public)
}

fn usable(certificate: &CertificateDer<'static>, key: KeyPair) -> Result<SigningCa, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if !parsed.is_ca() {
        return Err("its certificate is not that of a CA (basicConstraints)".to_owned());
    }
    let time = |second| Timestamp::from_second(second).map_err(|error| error.to_string());
    Ok(SigningCa {
        starts: time(parsed.validity().not_before.timestamp())?,
        expires: time(parsed.validity().not_after.timestamp())?,
        is_own: issue::is_own_ca(certificate),
        issuer: Issuer::from_ca_cert_der(certificate, key).map_err(|error| error.to_string())?,
        certificate: certificate.clone(),
    })
}

impl SigningCa {
    /// Issues a new pair: certificate and key in PEM. The certificate of this CA follows the first
    /// one, so that a client can trust that single file.
    pub(super) fn sign(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(String, String), CertificateError> {
        let (leaf, key) = issue::leaf(names, &self.issuer, self.expires, now)
            .map_err(|cause| CertificateError::Issue { names: names.to_vec(), cause })?;
        Ok((leaf + &encode(std::slice::from_ref(&self.certificate)), key))
    }
}
