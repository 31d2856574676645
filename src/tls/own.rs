//! What the server makes for itself when it is given no certificate: a CA, which clients trust, and a serving pair
//! signed by it. The pure part: what is to be done about what is there. Where it is kept is [`folder`] or [`secret`].
//!
//! Trust outlives every change. The list of CAs that clients are given holds a new CA beside the former one while that
//! lasts, and the pair of the former one is shown for [`OVERLAP`] more, while clients learn the new one. What somebody
//! else put there is used as it is, and no key is ever destroyed.

mod authority;
pub(super) mod folder;
mod make;
pub(super) mod secret;

pub(super) use make::is_pair_of_ours;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use self::authority::{Authority, Signer};
use super::error::CertificateError;
use super::names;
use super::pem::{Pair, PairPlaces, PemPair, certificates, encode};

/// What is kept, in PEM. It holds secrets, hence no `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// The CAs that clients are to trust: the one that signs, and former ones.
    pub(super) ca_certificates: Option<Vec<u8>>,
    /// The key of the CA that signs.
    pub(super) ca_key: Option<Vec<u8>>,
    /// The serving certificate and its CA.
    pub(super) certificate: Option<Vec<u8>>,
    /// The key of the serving certificate.
    pub(super) key: Option<Vec<u8>>,
}

/// Where the parts of a [`Content`] lie, for the texts of errors.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) authority: PairPlaces,
    pub(super) pair: PairPlaces,
}

/// What is to be done.
pub(super) enum Decision {
    /// Serve what is there.
    Keep(Kept),
    /// Put this there, all of it or nothing, and look again.
    Write(Content),
}

/// What is there and can serve.
pub(super) struct Kept {
    pub(super) pair: Pair,
    /// The CAs that clients are to trust, in PEM; none where nobody knows.
    pub(super) bundle: Option<Bytes>,
    /// When the CA that signs, or the first one that is known, ends.
    pub(super) authority_ends: Option<Timestamp>,
    /// What must be seen to before it is too late.
    pub(super) concern: Option<CertificateError>,
}

/// How long before its end a pair is replaced.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long before its end a CA is replaced: no pair that it signs outlives it.
const ROTATE_BEFORE: SignedDuration = SignedDuration::from_hours(400 * 24);
/// A CA that ends as soon as this signs nothing any more: the pair would be due at once.
const DYING: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How long the pair of a former CA is shown after a new one was made.
const OVERLAP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Judges what is there. `wanted` are the names that the pair must carry.
///
/// # Errors
/// There is no pair that can serve and none may be made.
pub(super) fn decide(
    content: &Content,
    places: &Places,
    wanted: &[String],
    now: Timestamp,
) -> Result<Decision, CertificateError> {
    let trusted = content.ca_certificates.as_deref().map_or(Ok(Vec::new()), certificates);
    let is_foreign = content.certificate.as_deref().is_some_and(|pem| !make::is_pair_of_ours(pem));
    match (is_foreign, &content.certificate, &content.key) {
        (true, ..) => return foreign(content, places, &trusted.unwrap_or_default()),
        (false, None, Some(_)) => {
            let PairPlaces { certificate, key } = places.pair.clone();
            return Err(CertificateError::KeyAlone { certificate, key });
        }
        (false, ..) => {}
    }
    let pair = content.pair(places);
    let found = authority::find(content, &trusted);
    let trusted = trusted.unwrap_or_default();
    match found {
        Signer::Missing => content.with_new_authority(&former(&trusted, pair.as_ref(), now), now).map(Decision::Write),
        Signer::Unusable(reason) => {
            let PairPlaces { certificate, key } = places.authority.clone();
            let error = CertificateError::Authority { certificate, key, reason };
            match pair {
                Some(pair) => Ok(Decision::Keep(Kept { concern: Some(error), ..kept(pair, &trusted) })),
                None => Err(error),
            }
        }
        Signer::Usable(authority) => sign_or_keep(&Present { content, places, trusted, authority, wanted, now }, pair),
    }
}

/// What there is when the CA can sign.
struct Present<'a> {
    content: &'a Content,
    places: &'a Places,
    trusted: Vec<CertificateDer<'static>>,
    authority: Box<Authority>,
    wanted: &'a [String],
    now: Timestamp,
}

fn sign_or_keep(present: &Present<'_>, pair: Option<Pair>) -> Result<Decision, CertificateError> {
    let Present { content, places, trusted, authority, wanted, now } = present;
    let left = authority.ends.duration_since(*now);
    let rotated = || content.with_new_authority(&former(trusted, None, *now), *now).map(Decision::Write);
    if authority.is_ours && left <= DYING {
        return rotated();
    }
    let Some(pair) = pair.filter(|pair| present.is_good(pair)) else {
        let (certificate, key) = authority.sign(wanted, *now)?;
        let (certificate, key) = (Some(certificate.into_bytes()), Some(key.into_bytes()));
        return Ok(Decision::Write(Content { certificate, key, ..(*content).clone() }));
    };
    if authority.is_ours && left <= ROTATE_BEFORE {
        return rotated();
    }
    let lasting: Vec<_> = trusted.iter().filter(|each| !make::has_ended(each, *now)).cloned().collect();
    if authority.is_ours && lasting.len() < trusted.len() {
        let ca_certificates = Some(encode(&lasting).into_bytes());
        return Ok(Decision::Write(Content { ca_certificates, ..(*content).clone() }));
    }
    let (certificate, ends) = (places.authority.certificate.clone(), authority.ends);
    let concern =
        (!authority.is_ours && left <= RENEW_BEFORE * 3).then_some(CertificateError::Ending { certificate, ends });
    Ok(Decision::Keep(Kept { authority_ends: Some(ends), concern, ..kept(pair, trusted) }))
}

impl Present<'_> {
    /// Whether the pair serves on, for all names, to clients that trust the present list.
    fn is_good(&self, pair: &Pair) -> bool {
        let Some(leaf) = pair.key.cert.first() else { return false };
        let is_of = |ca: &CertificateDer<'static>| make::is_signed_by(leaf, ca, self.now);
        let lasts = pair.ends.duration_since(self.now) > RENEW_BEFORE || pair.ends >= self.authority.ends;
        // A self-signed pair, as earlier versions made, is its own CA. Clients that trust it are served to its end.
        let is_settled = is_of(&self.authority.certificate)
            || self.now.duration_since(self.authority.begins) <= OVERLAP
            || is_of(leaf);
        lasts
            && is_settled
            && self.trusted.iter().any(is_of)
            && self.wanted.iter().all(|name| names::serves(leaf, name))
    }
}

impl Content {
    /// The pair, if it can serve.
    fn pair(&self, places: &Places) -> Option<Pair> {
        let (Some(certificate), Some(key)) = (self.certificate.clone(), self.key.clone()) else { return None };
        PemPair::new(certificate, key).parse(&places.pair).ok()
    }

    fn with_new_authority(&self, former: &[CertificateDer<'_>], now: Timestamp) -> Result<Self, CertificateError> {
        let (certificate, key) = make::authority(now)?;
        let list = format!("{certificate}{}", encode(former));
        Ok(Self { ca_certificates: Some(list.into_bytes()), ca_key: Some(key.into_bytes()), ..self.clone() })
    }
}

/// The CAs that clients may trust today: those of the list, and the one that comes with the pair where the list was
/// removed, or the pair itself where it is its own CA.
fn former(trusted: &[CertificateDer<'static>], pair: Option<&Pair>, now: Timestamp) -> Vec<CertificateDer<'static>> {
    let mut former = trusted.to_vec();
    let chain = pair.map(|pair| pair.key.cert.as_slice()).unwrap_or_default();
    former.extend(chain.iter().filter(|each| make::is_self_issued(each)).cloned());
    former.retain(|each| !make::has_ended(each, now));
    let mut unique = Vec::with_capacity(former.len());
    for each in former {
        if !unique.contains(&each) {
            unique.push(each);
        }
    }
    unique
}

fn kept(pair: Pair, trusted: &[CertificateDer<'static>]) -> Kept {
    let bundle = (!trusted.is_empty()).then(|| encode(trusted).into());
    let authority_ends = trusted.first().and_then(make::end_of);
    Kept { pair: pair.without_authority(), bundle, authority_ends, concern: None }
}

/// A pair of somebody else's is used as it is, and what lies beside it is believed to be its CA.
fn foreign(
    content: &Content,
    places: &Places,
    trusted: &[CertificateDer<'static>],
) -> Result<Decision, CertificateError> {
    let certificate = content.certificate.clone().unwrap_or_default();
    let Some(key) = content.key.clone() else {
        let cause = std::io::ErrorKind::NotFound.into();
        return Err(CertificateError::Read { place: places.pair.key.clone(), cause });
    };
    let pair = PemPair::new(certificate, key).parse(&places.pair)?;
    let bundle = (!trusted.is_empty()).then(|| encode(trusted).into());
    Ok(Decision::Keep(Kept { pair, bundle, authority_ends: trusted.first().and_then(make::end_of), concern: None }))
}

#[cfg(test)]
mod tests;
