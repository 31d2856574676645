//! The client at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::PeerCertificates;

/// The client at the other end of the connection of a request. An extension of requests.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Remote address. IPv4 addresses are unmapped, even on a dual-stack socket.
    pub address: SocketAddr,
    /// Certificate chain of the client. The requests of a connection share it and its cached
    /// verification results.
    pub certificates: Arc<PeerCertificates>,
}
