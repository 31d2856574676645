//! A CA and a serving certificate that the server creates and renews itself.
//!
//! This file is the pure part: the decision about existing data. [`folder`] and [`secret`] store
//! the data.
//!
//! Trust survives every change. The published list of CAs holds a new CA beside the former one
//! until the former expires, and the former serving pair stays in use for [`CA_OVERLAP`], while
//! clients reload the list. Certificates of other origin are used unchanged, and no key is ever
//! destroyed.

mod certificate_data;
pub(super) mod folder;
mod issue;
pub(super) mod secret;
mod signing_ca;

pub(super) use issue::is_own_pair;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use self::certificate_data::{CertificateData, DataLocations};
use self::signing_ca::{CaState, SigningCa};
use super::error::CertificateError;
use super::names;
use super::pem::{Pair, PairLocations, PemPair, certificates, encode};

/// Decision about existing data.
pub(super) enum CertificateAction {
    /// Serve this certificate.
    Serve(LoadedCertificate),
    /// Store this data as a whole, and load again.
    Write(CertificateData),
}

/// A usable certificate.
pub(super) struct LoadedCertificate {
    pub(super) pair: Pair,
    /// The CAs that clients must trust, in PEM; none if they are not known.
    pub(super) bundle: Option<Bytes>,
    /// Expiry of the signing CA, or else of the first known one.
    pub(super) ca_expires: Option<Timestamp>,
    /// Problem that prevents renewal.
    pub(super) warning: Option<CertificateError>,
}

/// Remaining lifetime at which a pair is renewed.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Remaining lifetime at which a CA is replaced, longer than the lifetime of a pair.
const ROTATE_BEFORE: SignedDuration = SignedDuration::from_hours(400 * 24);
/// Minimum remaining lifetime of a CA for signing. A shorter one would make the pair due at once.
const MIN_CA_LIFETIME: SignedDuration = SignedDuration::from_hours(31 * 24);
/// Time for which the pair of the former CA stays in use after a new CA was created.
const CA_OVERLAP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Decides about existing data. The pair must be valid for `names`.
///
/// # Errors
/// No pair is usable and none may be created.
pub(super) fn decide(
    data: &CertificateData,
    locations: &DataLocations,
    names: &[String],
    now: Timestamp,
) -> Result<CertificateAction, CertificateError> {
    let trusted = data.ca_certificates.as_deref().map_or(Ok(Vec::new()), certificates);
    let is_foreign = data.certificate.as_deref().is_some_and(|pem| !issue::is_own_pair(pem));
    match (is_foreign, &data.certificate, &data.key) {
        (true, ..) => return serve_foreign(data, locations, &trusted.unwrap_or_default()),
        (false, None, Some(_)) => {
            let PairLocations { certificate, key } = locations.pair.clone();
            return Err(CertificateError::KeyWithoutCertificate { certificate, key });
        }
        (false, ..) => {}
    }
    let pair = data.pair(locations);
    let ca = signing_ca::find(data, &trusted);
    let trusted = trusted.unwrap_or_default();
    match ca {
        CaState::Missing => with_new_ca(data, &former_cas(&trusted, pair.as_ref(), now), now),
        CaState::Unusable(reason) => {
            let PairLocations { certificate, key } = locations.ca.clone();
            let error = CertificateError::UnusableCa { certificate, key, reason };
            match pair {
                Some(pair) => Ok(CertificateAction::Serve(LoadedCertificate {
                    warning: Some(error),
                    ..own_certificate(pair, &trusted)
                })),
                None => Err(error),
            }
        }
        CaState::Usable(ca) => {
            sign_or_serve(&RenewalContext { data, locations, trusted, ca, names, now }, pair)
        }
    }
}

/// Data with a usable CA.
struct RenewalContext<'a> {
    data: &'a CertificateData,
    locations: &'a DataLocations,
    trusted: Vec<CertificateDer<'static>>,
    ca: Box<SigningCa>,
    names: &'a [String],
    now: Timestamp,
}

fn sign_or_serve(
    context: &RenewalContext<'_>,
    pair: Option<Pair>,
) -> Result<CertificateAction, CertificateError> {
    let RenewalContext { data, locations, trusted, ca, names, now } = context;
    let remaining = ca.expires.duration_since(*now);
    let rotate = || with_new_ca(data, &former_cas(trusted, None, *now), *now);
    if ca.is_own && remaining <= MIN_CA_LIFETIME {
        return rotate();
    }
    let Some(pair) = pair.filter(|pair| context.is_valid(pair)) else {
        let (certificate, key) = ca.sign(names, *now)?;
        let (certificate, key) = (Some(certificate.into_bytes()), Some(key.into_bytes()));
        return Ok(CertificateAction::Write(CertificateData {
            certificate,
            key,
            ..(*data).clone()
        }));
    };
    if ca.is_own && remaining <= ROTATE_BEFORE {
        return rotate();
    }
    let unexpired: Vec<_> =
        trusted.iter().filter(|each| !issue::is_expired(each, *now)).cloned().collect();
    if ca.is_own && unexpired.len() < trusted.len() {
        let ca_certificates = Some(encode(&unexpired).into_bytes());
        return Ok(CertificateAction::Write(CertificateData {
            ca_certificates,
            ..(*data).clone()
        }));
    }
    let (certificate, expires) = (locations.ca.certificate.clone(), ca.expires);
    let warning = (!ca.is_own && remaining <= RENEW_BEFORE * 3)
        .then_some(CertificateError::ExpiringCa { certificate, expires });
    Ok(CertificateAction::Serve(LoadedCertificate {
        ca_expires: Some(expires),
        warning,
        ..own_certificate(pair, trusted)
    }))
}

impl RenewalContext<'_> {
    /// Returns true if the pair needs no renewal, covers all names and is accepted by clients that
    /// trust the current list.
    fn is_valid(&self, pair: &Pair) -> bool {
        let Some(leaf) = pair.key.cert.first() else { return false };
        let is_signed_by = |ca: &CertificateDer<'static>| issue::is_signed_by(leaf, ca, self.now);
        let is_fresh =
            pair.expires.duration_since(self.now) > RENEW_BEFORE || pair.expires >= self.ca.expires;
        // A self-signed pair, as earlier versions created, is its own CA. Clients trust it until it
        // expires.
        let is_signer_current = is_signed_by(&self.ca.certificate)
            || self.now.duration_since(self.ca.starts) <= CA_OVERLAP
            || is_signed_by(leaf);
        is_fresh
            && is_signer_current
            && self.trusted.iter().any(is_signed_by)
            && self.names.iter().all(|name| names::is_valid_for(leaf, name))
    }
}

fn with_new_ca(
    data: &CertificateData,
    former_cas: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<CertificateAction, CertificateError> {
    let (certificate, key) = issue::ca(now)?;
    let ca_certificates = Some(format!("{certificate}{}", encode(former_cas)).into_bytes());
    Ok(CertificateAction::Write(CertificateData {
        ca_certificates,
        ca_key: Some(key.into_bytes()),
        ..data.clone()
    }))
}

/// The CAs that clients may trust now: those of the list and, because the list may have been
/// removed, the CA in the chain of the pair, or the pair itself if it is self-signed.
fn former_cas(
    trusted: &[CertificateDer<'static>],
    pair: Option<&Pair>,
    now: Timestamp,
) -> Vec<CertificateDer<'static>> {
    let mut cas = trusted.to_vec();
    let chain = pair.map(|pair| pair.key.cert.as_slice()).unwrap_or_default();
    cas.extend(chain.iter().filter(|each| issue::is_self_issued(each)).cloned());
    cas.retain(|each| !issue::is_expired(each, now));
    let mut unique = Vec::with_capacity(cas.len());
    for each in cas {
        if !unique.contains(&each) {
            unique.push(each);
        }
    }
    unique
}

fn own_certificate(pair: Pair, trusted: &[CertificateDer<'static>]) -> LoadedCertificate {
    let bundle = (!trusted.is_empty()).then(|| encode(trusted).into());
    let ca_expires = trusted.first().and_then(issue::expiry);
    LoadedCertificate { pair: pair.without_ca(), bundle, ca_expires, warning: None }
}

/// Serves a pair of other origin unchanged. The list beside it is taken for its CA.
fn serve_foreign(
    data: &CertificateData,
    locations: &DataLocations,
    trusted: &[CertificateDer<'static>],
) -> Result<CertificateAction, CertificateError> {
    let certificate = data.certificate.clone().unwrap_or_default();
    let Some(key) = data.key.clone() else {
        let cause = std::io::ErrorKind::NotFound.into();
        return Err(CertificateError::Read { location: locations.pair.key.clone(), cause });
    };
    let pair = PemPair::new(certificate, key).parse(&locations.pair)?;
    let bundle = (!trusted.is_empty()).then(|| encode(trusted).into());
    Ok(CertificateAction::Serve(LoadedCertificate {
        pair,
        bundle,
        ca_expires: trusted.first().and_then(issue::expiry),
        warning: None,
    }))
}

#[cfg(test)]
mod tests;
