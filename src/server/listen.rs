//! The one port of the server: accepting connections, and ending them when the server ends.
//!
//! Nothing here looks at a request; what a connection proves about its client travels with each request as [`Peer`].

mod activity;
mod connection;
mod frames;
mod h2_filter;
mod handshake;
mod long_names;
mod outgoing;
mod resets;
mod service;
mod streams;
mod unanswered;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::shutdown::{Phase, Shutdown};
use crate::auth::{PeerCertificates, TrustState};
use crate::runtime::Backoff;
use crate::telemetry::OnChange;
use connection::{Connections, Order};
use service::RequestService;

/// The pauses between attempts to accept a connection that fail for want of file descriptors or
/// memory, which other work may free.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a connection without a request in flight, or with a watch, may neither ask nor take anything once the server ends. Long
/// enough for a slow reader, whose system makes room for more in lumps, and far below what a kubelet waits for.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Flags of the listener.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Listening and TLS")]
pub struct Options {
    /// IP address to listen on; :: for all addresses of IPv4 and IPv6.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port to serve HTTPS on; 0 for a free port, which is logged.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub secure_port: u16,
}

/// Who is at the other end of the connection that a request came through.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address, IPv4 in its own form even on a socket of both families.
    pub address: SocketAddr,
    /// What the client showed of certificates. Requests of one connection share it, and with it what it was found to be worth.
    pub certificates: Arc<PeerCertificates>,
}

/// What a client may take of the server before it has said who it is. The defaults are those of kube-apiserver, where it
/// has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the accepted connection to the end of the handshake.
    pub handshake: Duration,
    /// Handshakes at a time that have got as far as to compute. More of them wait, within `handshake`. Connections that have
    /// not sent their whole ClientHello are not among them: only `handshake` and the file descriptors bound these, and
    /// rustls the memory that each may fill.
    pub handshakes: usize,
    /// From the first byte of a request on HTTP/1.1 to the end of its headers, or from the handshake for the first one.
    /// A quarter of the smaller timeout is the grain of this one and of `idle`.
    pub header_read: Duration,
    /// How long a connection is kept without requests, or while its client takes nothing of the answers to them.
    pub idle: Duration,
    /// How long a client may take to read an answer whose size is known, or a part of another; after that it does not get the rest.
    pub send: Duration,
    /// The headers of a request, in bytes; more is answered with 431. At least 8 KiB.
    pub header_bytes: u32,
    /// The header lines of a request on HTTP/1.1 from a front proxy, which sends each group of a user in a line of its own. Everybody
    /// else may send 100.
    pub header_lines: usize,
    /// The requests at a time on a connection of HTTP/2.
    pub streams: u32,
    /// The streams of HTTP/2 that a client other than a front proxy may reset, or make the server reset, by the second over ten
    /// seconds. A client that does so more often loses its connection.
    pub resets: u32,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
    /// How long requests in flight may take once the server drains.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            handshakes: 512,
            header_read: Duration::from_secs(32),
            idle: Duration::from_secs(90),
            send: Duration::from_secs(60),
            header_bytes: 1 << 20,
            header_lines: 5000,
            streams: 1000,
            resets: 1000,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(15),
            drain: Duration::from_secs(60),
        }
    }
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process has it.
    #[error("port {} of {} is in use by another process: choose another with --secure-port", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// Low ports take a privilege.
    #[error("port {} may not be opened by this user: choose one above 1023 with --secure-port", .0.port())]
    Denied(SocketAddr),
    /// No interface has the address.
    #[error("{} is not an address of this machine: choose another with --bind-address", .0.ip())]
    NotOurs(SocketAddr),
    /// Something else.
    #[error("cannot listen on {address} (--bind-address, --secure-port): {cause}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

/// Opens the port. Port 0 takes a free one; ask the listener which.
pub async fn bind(address: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address).await.map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::PermissionDenied => BindError::Denied(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs(address),
        _ => BindError::Other { address, cause },
    })
}

/// Serves `app` until the server drains and its requests are done, or until [`Limits::drain`] after that.
///
/// Each handshake takes the configuration that `tls` holds at that time, and `trusted` tells front proxies from other clients.
/// Connections that were upgraded to another
/// protocol are no longer this function's: whoever took them over watches the phase.
pub async fn serve<S: RequestService>(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    trusted: watch::Receiver<TrustState>,
    app: S,
    limits: Limits,
    shutdown: Shutdown,
) {
    let drain = limits.drain;
    let connections = Arc::new(Connections::new(limits, tls, trusted, shutdown.clone()));
    let (orders, order) = watch::channel(Order::Serve);
    let mut draining = pin!(shutdown.reached(Phase::Draining));
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut outage = OnChange::from_initial(false);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                backoff.reset();
                outage.record(false);
                let peer = SocketAddr::new(address.ip().to_canonical(), address.port());
                tokio::spawn(Arc::clone(&connections).run(stream, peer, app.clone(), order.clone()));
            }
            Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection was lost before its start"),
            Err(error) => {
                if outage.record(true) {
                    warn!(%error, "cannot accept connections, trying again");
                }
                tokio::select! {
                    () = &mut draining => break,
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                }
            }
        }
    }
    drop((listener, order));
    finish(&orders, drain).await;
}

/// Lets the connections come to their end, and ends them if that takes too long.
async fn finish(orders: &watch::Sender<Order>, drain: Duration) {
    info!(connections = orders.receiver_count(), "no longer accepting connections");
    orders.send_replace(Order::Finish);
    // Every connection holds a receiver, so the channel is closed when the last one is gone.
    if tokio::time::timeout(drain, orders.closed()).await.is_err() {
        warn!(connections = orders.receiver_count(), "requests outlast the drain time and are cut off");
        orders.send_replace(Order::Abort);
        orders.closed().await;
    }
}

/// Whether the listener itself is well: the client was gone before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// How long a connection may be silent until it is asked whether its other end is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// How often it is asked, this long apart, until it is given up.
const QUESTIONS: u32 = 6;
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10);

/// Small answers leave at once instead of waiting for more, and whoever vanishes without a word, as a machine does that loses its
/// power, does not keep a watch until that ends by itself.
fn prepare(stream: &TcpStream) {
    let prepared = sockopt::set_tcp_nodelay(stream, true)
        .and_then(|()| sockopt::set_socket_keepalive(stream, true))
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, BETWEEN_QUESTIONS))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, QUESTIONS));
    if let Err(error) = prepared {
        debug!(%error, "the options of a connection cannot be set");
    }
}

#[cfg(test)]
mod tests;
