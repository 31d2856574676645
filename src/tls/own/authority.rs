//! The CA that signs: the certificate of the list that the key belongs to.

use jiff::Timestamp;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::error::CertificateError;
use super::{Content, make};

/// Whether something can be signed.
pub(super) enum Signer {
    /// There is no CA, and nothing stands in the way of making one.
    Missing,
    /// There is something that is no CA, or is not complete. Why.
    Unusable(String),
    /// It can.
    Usable(Box<Authority>),
}

/// A CA with its key.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
    /// Whether it was made here, and may be replaced.
    pub(super) is_ours: bool,
    issuer: Issuer<'static, KeyPair>,
}

/// Looks for the CA. `trusted` is the list of the content, or what is wrong with it.
pub(super) fn find(content: &Content, trusted: &Result<Vec<CertificateDer<'static>>, String>) -> Signer {
    let trusted = match trusted {
        Ok(trusted) => trusted,
        Err(reason) => return Signer::Unusable(reason.clone()),
    };
    let Some(key) = content.ca_key.as_deref() else {
        // A list of ours alone is what a crash leaves while the first CA is put in place. It stays on the list.
        let is_beginning = content.certificate.is_none() && trusted.iter().all(make::is_authority_of_ours);
        return match &content.ca_certificates {
            None => Signer::Missing,
            Some(_) if is_beginning => Signer::Missing,
            Some(_) => Signer::Unusable("its key is missing".to_owned()),
        };
    };
    let key = std::str::from_utf8(key).map_err(|error| error.to_string());
    let key = match key.and_then(|pem| KeyPair::from_pem(pem).map_err(|error| error.to_string())) {
        Ok(key) => key,
        Err(reason) => return Signer::Unusable(format!("its key cannot be used ({reason})")),
    };
    if content.ca_certificates.is_none() {
        return Signer::Unusable("its key has no certificate beside it".to_owned());
    }
    let public = key.subject_public_key_info();
    match trusted.iter().find(|each| has_key(each, &public)) {
        None => Signer::Unusable("its key belongs to none of the certificates there".to_owned()),
        Some(certificate) => {
            usable(certificate, key).map_or_else(Signer::Unusable, |authority| Signer::Usable(Box::new(authority)))
        }
    }
}

fn has_key(certificate: &CertificateDer<'_>, public: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.public_key().raw == public)
}

fn usable(certificate: &CertificateDer<'static>, key: KeyPair) -> Result<Authority, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    if !parsed.is_ca() {
        return Err("its certificate is not that of a CA (basicConstraints)".to_owned());
    }
    let time = |second| Timestamp::from_second(second).map_err(|error| error.to_string());
    Ok(Authority {
        begins: time(parsed.validity().not_before.timestamp())?,
        ends: time(parsed.validity().not_after.timestamp())?,
        is_ours: make::is_authority_of_ours(certificate),
        issuer: Issuer::from_ca_cert_der(certificate, key).map_err(|error| error.to_string())?,
        certificate: certificate.clone(),
    })
}

impl Authority {
    /// A new pair: the certificate with that of this CA after it, so that a client may trust the one file, and the key.
    pub(super) fn sign(&self, names: &[String], now: Timestamp) -> Result<(String, String), CertificateError> {
        let (leaf, key) = make::leaf(names, &self.issuer, self.ends, now)
            .map_err(|cause| CertificateError::Make { names: names.to_vec(), cause })?;
        Ok((leaf + &super::encode(std::slice::from_ref(&self.certificate)), key))
    }
}
