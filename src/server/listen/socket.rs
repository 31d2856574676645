//! Options of accepted TCP sockets.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;
use tracing::debug;

/// Time without traffic before the first keepalive probe.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Interval between keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Number of unacknowledged probes that close the connection.
const KEEPALIVE_PROBES: u32 = 6;

/// Disables Nagle's algorithm, so that small responses are sent at once, and enables keepalive, so
/// that a client that disappears does not hold a watch until its timeout.
pub(super) fn set_options(stream: &TcpStream) {
    let outcome = sockopt::set_tcp_nodelay(stream, true)
        .and_then(|()| sockopt::set_socket_keepalive(stream, true))
        .and_then(|()| sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES));
    if let Err(error) = outcome {
        debug!(%error, "cannot set socket options");
    }
}
