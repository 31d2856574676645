//! Trusted CAs, and the identities that the certificates of a connection prove by them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::DistinguishedName;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::ca_bundle::{CaBundle, expiry_of, user_of};
use super::front_proxy::{FrontProxy, ProxyRejection, VerifiedProxy};
use super::user::User;

/// Trusted CAs. Immutable: a change creates a new value.
#[derive(Debug, Default)]
pub struct Trust {
    /// CAs of user certificates.
    pub clients: Option<Arc<CaBundle>>,
    /// Front proxies.
    pub front_proxy: Option<Arc<FrontProxy>>,
}

impl Trust {
    /// Subject names of all CAs, for the certificate request of a TLS handshake.
    pub fn subjects(&self) -> Vec<DistinguishedName> {
        let proxy = self.front_proxy.as_ref().map(|proxy| &proxy.ca_bundle);
        self.clients
            .as_deref()
            .into_iter()
            .chain(proxy)
            .flat_map(|ca_bundle| ca_bundle.subjects().iter().cloned())
            .collect()
    }

    /// Returns true if both accept the same certificates.
    pub fn is_same(&self, other: &Self) -> bool {
        let clients = match (&self.clients, &other.clients) {
            (Some(own), Some(other)) => own.is_same(other),
            (own, other) => own.is_none() && other.is_none(),
        };
        let proxies = match (&self.front_proxy, &other.front_proxy) {
            (Some(own), Some(other)) => own.is_same(other),
            (own, other) => own.is_none() && other.is_none(),
        };
        clients && proxies
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.clients {
            Some(ca_bundle) => write!(f, "users: {ca_bundle}"),
            None => write!(f, "users: none"),
        }?;
        match &self.front_proxy {
            Some(proxy) => {
                write!(f, "; front proxies: {} allowed {:?}", proxy.ca_bundle, proxy.allowed_names)
            }
            None => write!(f, "; front proxies: none"),
        }
    }
}

/// Certificates that the peer of a connection presented, and the cached result of their
/// verification.
///
/// The handshake proves only that the peer has the private key of the leaf.
#[derive(Debug, Default)]
pub struct PeerCertificates {
    chain: Vec<CertificateDer<'static>>,
    verified: Mutex<Option<Arc<Verification>>>,
}

/// Identities that the certificates prove by one version of the trusted CAs.
#[derive(Debug)]
pub struct Verification {
    by: Arc<Trust>,
    until: UnixTime,
    /// Front proxy, or the reason of its rejection; `None` if no front proxy is trusted.
    pub proxy: Option<Result<VerifiedProxy, ProxyRejection>>,
    /// User of the leaf, if a trusted CA signed it.
    pub user: Option<Arc<User>>,
}

/// Time until certificates that prove nothing are verified again: they may become valid.
const REJECTED_FOR: Duration = Duration::from_secs(60);
/// Resolution of `notAfter`.
const A_SECOND: Duration = Duration::from_secs(1);

impl PeerCertificates {
    /// Certificate chain of a connection, leaf first; empty without a client certificate.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self { chain, verified: Mutex::default() }
    }

    /// Chain as presented.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Returns true if the peer presented no certificate.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// Verifies the certificates by `trust` at `now`, or returns the cached result. `None` without
    /// certificates.
    pub fn verify(&self, trust: &Arc<Trust>, now: UnixTime) -> Option<Arc<Verification>> {
        if self.chain.is_empty() {
            return None;
        }
        let mut verified = self.verified.lock();
        if let Some(known) =
            verified.as_ref().filter(|known| Arc::ptr_eq(&known.by, trust) && now < known.until)
        {
            return Some(known.clone());
        }
        let fresh = Arc::new(verify(&self.chain, trust.clone(), now));
        *verified = Some(fresh.clone());
        Some(fresh)
    }

    /// Returns true if the certificates prove that the peer is a front proxy.
    pub fn are_of_front_proxy(&self, trust: &Arc<Trust>, now: UnixTime) -> bool {
        self.verify(trust, now).is_some_and(|verified| matches!(verified.proxy, Some(Ok(_))))
    }
}

fn verify(chain: &[CertificateDer<'static>], by: Arc<Trust>, now: UnixTime) -> Verification {
    let proxy = by.front_proxy.as_ref().map(|proxy| proxy.verify(chain, now));
    let is_user = by.clients.as_ref().is_some_and(|ca_bundle| ca_bundle.verify(chain, now).is_ok());
    let user = if is_user { user_of(&chain[0]) } else { None };
    let is_accepted = user.is_some() || matches!(proxy, Some(Ok(_)));
    let rejected_until = after(now, REJECTED_FOR);
    let until = if is_accepted {
        next_expiry(chain, &by, now).unwrap_or(rejected_until)
    } else {
        rejected_until
    };
    Verification { by, until, proxy, user }
}

/// End of the validity of a chain that is accepted at `now`: the next expiry of a certificate
/// or CA.
fn next_expiry(
    chain: &[CertificateDer<'static>],
    trust: &Trust,
    now: UnixTime,
) -> Option<UnixTime> {
    // An intermediate is accepted in the second of its expiry, and must be verified again in
    // the next one. One that expired before changes nothing.
    let shown = chain
        .iter()
        .filter_map(expiry_of)
        .filter(|end| *end >= now)
        .map(|end| end.max(after(now, A_SECOND)));
    let proxy = trust.front_proxy.as_ref().map(|proxy| &proxy.ca_bundle);
    let authorities = trust.clients.as_deref().into_iter().chain(proxy);
    shown.chain(authorities.filter_map(|ca_bundle| ca_bundle.next_expiry(now))).min()
}

fn after(time: UnixTime, duration: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs()) + duration)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Ca, now, seconds_before};
    use super::*;

    fn trust(ca: &Ca) -> Arc<Trust> {
        Arc::new(Trust { clients: Some(Arc::new(ca.ca_bundle())), front_proxy: None })
    }

    fn name(verified: Option<Arc<Verification>>) -> Option<String> {
        verified?.user.as_ref().map(|user| user.name.clone())
    }

    #[test]
    fn new_trust_applies_to_open_connections() {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        let peer = PeerCertificates::new(old.client("alice", &[]));
        assert_eq!(name(peer.verify(&trust(&old), now())).as_deref(), Some("alice"));
        assert_eq!(name(peer.verify(&trust(&new), now())), None);
        assert_eq!(name(peer.verify(&trust(&old), now())).as_deref(), Some("alice"));
    }

    #[test]
    fn verification_is_cached_until_the_certificate_expires() {
        let ca = Ca::new("ca");
        let (peer, trust) = (PeerCertificates::new(ca.client("alice", &[])), trust(&ca));
        let first = peer.verify(&trust, now()).unwrap();
        assert!(Arc::ptr_eq(&first, &peer.verify(&trust, now()).unwrap()));
        let end = expiry_of(&peer.chain()[0]).unwrap();
        assert!(Arc::ptr_eq(&first, &peer.verify(&trust, seconds_before(end, 1)).unwrap()));
        assert_eq!(name(peer.verify(&trust, end)), None);
    }

    /// Requests arrive in every second, and the rest of the chain is valid for longer.
    #[test]
    fn busy_connection_expires_with_its_leaf() {
        let root = Ca::new("root");
        let between = root.intermediate("between");
        let mut chain = between.client_until("alice", seconds_before(now(), -10));
        let end = expiry_of(&chain[0]).unwrap();
        chain.push(between.der());
        let (peer, trust) = (PeerCertificates::new(chain), trust(&root));
        for (second, expected) in
            [(-9, Some("alice")), (-1, Some("alice")), (0, None), (1, None), (30, None), (90, None)]
        {
            assert_eq!(
                name(peer.verify(&trust, seconds_before(end, -second))).as_deref(),
                expected,
                "{second}"
            );
        }
    }

    #[test]
    fn front_proxy_is_rejected_after_its_certificate_expires() {
        let ca = Ca::new("proxies");
        let peer = PeerCertificates::new(ca.client_until("aggregator", seconds_before(now(), -10)));
        let end = expiry_of(&peer.chain()[0]).unwrap();
        let front_proxy = FrontProxy {
            ca_bundle: ca.ca_bundle(),
            allowed_names: Vec::new(),
            headers: Arc::default(),
        };
        let trust = Arc::new(Trust { clients: None, front_proxy: Some(Arc::new(front_proxy)) });
        for (second, is_proxy) in [(-1, true), (0, false), (1, false), (61, false)] {
            let verified = peer.verify(&trust, seconds_before(end, -second)).unwrap();
            assert_eq!(matches!(verified.proxy, Some(Ok(_))), is_proxy, "{second}");
        }
    }

    #[test]
    fn expired_ca_is_untrusted_on_open_connections() {
        let ca = Ca::until("short", seconds_before(now(), -10));
        let (peer, trust) = (PeerCertificates::new(ca.client("alice", &[])), trust(&ca));
        let end = trust.clients.as_ref().unwrap().first_expiry().unwrap();
        for (second, expected) in [(-1, Some("alice")), (0, None), (61, None)] {
            assert_eq!(
                name(peer.verify(&trust, seconds_before(end, -second))).as_deref(),
                expected,
                "{second}"
            );
        }
    }

    #[test]
    fn no_certificate_proves_nothing() {
        assert!(PeerCertificates::default().verify(&trust(&Ca::new("ca")), now()).is_none());
    }
}
