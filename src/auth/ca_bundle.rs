//! CA bundles for client certificates, and the user that a certificate names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{DistinguishedName, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

use super::User;

/// One or more CA certificates. Each is a trust anchor, self-signed or not.
pub struct CaBundle {
    /// `None` if every CA certificate has expired.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    subjects: Vec<DistinguishedName>,
    /// CA certificates that have not expired.
    roots: Vec<CertificateDer<'static>>,
    /// Expiry of each root, earliest first.
    expiries: Vec<UnixTime>,
}

/// Error of parsing a CA bundle.
#[derive(Debug, thiserror::Error)]
pub enum CaBundleError {
    /// Malformed PEM or X.509.
    #[error("it contains a malformed PEM certificate: {0}")]
    Pem(String),
    /// No certificate at all.
    #[error("it contains no certificate")]
    Empty,
}

/// Reason why a certificate fails verification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CertificateRejection(String);

impl CaBundle {
    /// Parses a PEM bundle. CA certificates that have expired at `now` are dropped.
    ///
    /// # Errors
    /// Malformed PEM or X.509, and a bundle without a certificate.
    pub fn parse(pem: &[u8], now: UnixTime) -> Result<Self, CaBundleError> {
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|why| CaBundleError::Pem(why.to_string()))?;
            expiry_of(&certificate)
                .ok_or_else(|| CaBundleError::Pem("not an X.509 certificate".into()))?;
            roots.push(certificate);
        }
        if roots.is_empty() { Err(CaBundleError::Empty) } else { Self::of(roots, now) }
    }

    /// Bundle of the roots that have not expired at `now`.
    fn of(mut roots: Vec<CertificateDer<'static>>, now: UnixTime) -> Result<Self, CaBundleError> {
        roots.retain(|root| expiry_of(root).is_some_and(|end| now < end));
        let mut expiries: Vec<UnixTime> = roots.iter().filter_map(expiry_of).collect();
        expiries.sort();
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|why| CaBundleError::Pem(why.to_string()))?;
        }
        let subjects = store.subjects();
        let verifier = match roots.is_empty() {
            true => None,
            false => {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(store.into(), provider).build();
                Some(verifier.map_err(|why| CaBundleError::Pem(why.to_string()))?)
            }
        };
        Ok(Self { verifier, subjects, roots, expiries })
    }

    /// Verifies a chain, leaf first: it must lead to a CA of this bundle, be for client
    /// authentication, and be valid at `now`.
    ///
    /// A leaf or root is rejected from the second of its `notAfter` on, as by Go's
    /// `Certificate.isValid`, which counts fractions of a second; webpki would accept the leaf
    /// during that second and never checks the validity of a root.
    ///
    /// # Errors
    /// The reason, for a log.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Result<(), CertificateRejection> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(CertificateRejection("no certificate was presented".into()));
        };
        if self.first_expiry().is_some_and(|end| end <= now) {
            // Rare: the bundle is read again every minute, which drops expired roots.
            let living = Self::of(self.roots.clone(), now)
                .map_err(|why| CertificateRejection(why.to_string()))?;
            return living.verify(chain, now);
        }
        let Some(verifier) = &self.verifier else {
            return Err(CertificateRejection("every CA certificate has expired".into()));
        };
        verifier
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|why| CertificateRejection(why.to_string()))?;
        match expiry_of(leaf) {
            Some(end) if now < end => Ok(()),
            _ => Err(CertificateRejection("the certificate has expired".into())),
        }
    }

    /// Subject names of the CAs, for the certificate request of a TLS handshake.
    pub fn subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    /// Earliest expiry of a CA; `None` if all have expired.
    pub fn first_expiry(&self) -> Option<UnixTime> {
        self.expiries.first().copied()
    }

    /// First expiry of a CA after `now`.
    pub(super) fn next_expiry(&self, now: UnixTime) -> Option<UnixTime> {
        self.expiries.iter().copied().find(|end| now < *end)
    }

    /// Returns true if both have the same CA certificates.
    pub fn is_same(&self, other: &Self) -> bool {
        self.roots == other.roots
    }
}

/// Subject names and expiry times, for a log.
impl fmt::Display for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for root in &self.roots {
            let Ok((_, certificate)) = X509Certificate::from_der(root) else { continue };
            let end = jiff::Timestamp::from_second(certificate.validity().not_after.timestamp())
                .unwrap_or_default();
            write!(f, "{separator}{} (until {end})", certificate.subject())?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} certificates)", self.roots.len())
    }
}

/// User of a verified certificate: the common name is the user, each organization a group.
///
/// The extra `authentication.kubernetes.io/credential-id` holds the fingerprint, as in
/// `CommonNameUserConversion` in `k8s.io/apiserver/pkg/authentication/request/x509/x509.go`.
pub(super) fn user_of(leaf: &CertificateDer<'_>) -> Option<Arc<User>> {
    /// Object identifier of the user UID in a subject, assigned to Kubernetes.
    const UID: Oid<'static> = x509_parser::der_parser::oid!(1.3.6.1.4.1.57683.2);
    const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let subject = certificate.subject();
    let name = common_name(&certificate)?;
    let texts = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().map(str::to_owned).ok();
    let uids: Vec<String> = subject.iter_by_oid(&UID).filter_map(texts).collect();
    let uid = match uids.as_slice() {
        [] => String::new(),
        [uid] => uid.clone(),
        _ => return None,
    };
    let fingerprint: String =
        Sha256::digest(leaf).iter().map(|byte| format!("{byte:02x}")).collect();
    let user = User {
        name,
        uid,
        groups: subject.iter_organization().filter_map(texts).collect(),
        extra: BTreeMap::from([(CREDENTIAL.to_owned(), vec![format!("X509SHA256={fingerprint}")])]),
    };
    Some(user.authenticated())
}

/// Common name of the subject; the last one of several, as Go's `pkix.Name` has it.
pub(super) fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().last()?.as_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `notAfter` of a certificate.
pub(super) fn expiry_of(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let end = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
    Some(UnixTime::since_unix_epoch(Duration::from_secs(end)))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Ca, now, seconds_before};
    use super::*;
    use rcgen::ExtendedKeyUsagePurpose;

    #[test]
    fn certificate_of_the_ca_names_its_user() {
        let ca = Ca::new("ca");
        let chain = ca.client("alice", &["devs"]);
        ca.ca_bundle().verify(&chain, now()).unwrap();
        let user = user_of(&chain[0]).unwrap();
        assert_eq!(
            (user.name.as_str(), user.groups.as_slice()),
            ("alice", &["devs", "system:authenticated"].map(String::from)[..])
        );
        assert!(
            user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("X509SHA256=")
        );
    }

    #[test]
    fn foreign_server_and_malformed_certificates_are_rejected() {
        let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
        let ca_bundle = ca.ca_bundle();
        assert!(ca_bundle.verify(&stranger.client("alice", &[]), now()).is_err());
        assert!(
            ca_bundle
                .verify(&ca.leaf("alice", &[], &[ExtendedKeyUsagePurpose::ServerAuth]), now())
                .is_err()
        );
        assert!(ca_bundle.verify(&[CertificateDer::from(vec![1, 2, 3])], now()).is_err());
        assert!(ca_bundle.verify(&[], now()).is_err());
        assert_eq!(user_of(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn presented_intermediate_is_used() {
        let root = Ca::new("root");
        let between = root.intermediate("between");
        let mut chain = between.client("alice", &[]);
        assert!(root.ca_bundle().verify(&chain, now()).is_err());
        chain.push(between.der());
        root.ca_bundle().verify(&chain, now()).unwrap();
    }

    #[test]
    fn intermediate_in_the_bundle_is_a_root() {
        let between = Ca::new("root").intermediate("between");
        between.ca_bundle().verify(&between.client("alice", &[]), now()).unwrap();
    }

    #[test]
    fn expired_ca_verifies_nothing() {
        let ca = Ca::new("ca");
        let (chain, ca_bundle) = (ca.client("alice", &[]), ca.ca_bundle());
        let (end, before) = (
            ca_bundle.first_expiry().unwrap(),
            seconds_before(ca_bundle.first_expiry().unwrap(), 1),
        );
        ca_bundle.verify(&chain, before).unwrap();
        let ended = CaBundle::parse(ca.pem().as_bytes(), end).unwrap();
        assert!(ended.verify(&chain, now()).unwrap_err().to_string().contains("has expired"));
        // The bundle has not been read again, and the root no longer counts.
        assert!(ca_bundle.verify(&chain, end).unwrap_err().to_string().contains("has expired"));
    }

    #[test]
    fn leaf_is_rejected_from_its_last_second_on() {
        let ca = Ca::new("ca");
        let chain =
            ca.client_until("alice", seconds_before(ca.ca_bundle().first_expiry().unwrap(), 60));
        let end = expiry_of(&chain[0]).unwrap();
        ca.ca_bundle().verify(&chain, seconds_before(end, 1)).unwrap();
        assert!(ca.ca_bundle().verify(&chain, end).unwrap_err().to_string().contains("expired"));
    }

    #[test]
    fn expired_root_leaves_the_other_roots_in_use() {
        let (first, second) = (Ca::new("first"), Ca::until("second", seconds_before(now(), -7200)));
        let both =
            CaBundle::parse(format!("{}{}", first.pem(), second.pem()).as_bytes(), now()).unwrap();
        let end = both.first_expiry().unwrap();
        assert!(both.next_expiry(end).unwrap() > end);
        both.verify(&second.client("alice", &[]), now()).unwrap();
        let late = second.client_until("alice", seconds_before(end, -60));
        both.verify(&late, end).unwrap();
        assert!(both.verify(&first.client_until("bob", seconds_before(end, -60)), end).is_err());
    }

    #[test]
    fn empty_or_malformed_bundle_is_an_error() {
        assert!(matches!(CaBundle::parse(b"", now()), Err(CaBundleError::Empty)));
        let rubbish = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(CaBundle::parse(rubbish, now()), Err(CaBundleError::Pem(_))));
    }
}
