//! Classes of clients, by the certificate that they show in the TLS handshake.

use rustls::pki_types::UnixTime;
use tokio::sync::watch;

use crate::auth::{PeerCertificates, TrustState};

/// The class of a client. It selects the limits of a connection, not rights: each request is
/// authenticated separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientClass {
    /// A client without a certificate of a trusted CA. It may have a token.
    Unverified,
    /// A client with the certificate of a user.
    User,
    /// A front proxy, whose connections many users share.
    FrontProxy,
}

impl ClientClass {
    /// The class that the certificates of a connection prove now.
    pub(super) fn of(
        certificates: &PeerCertificates,
        trusted: &watch::Receiver<TrustState>,
    ) -> Self {
        if certificates.is_empty() {
            return Self::Unverified;
        }
        let trust = trusted.borrow().trust.clone();
        match certificates.verify(&trust, UnixTime::now()) {
            Some(verified) if matches!(verified.proxy, Some(Ok(_))) => Self::FrontProxy,
            Some(verified) if verified.user.is_some() => Self::User,
            _ => Self::Unverified,
        }
    }
}
