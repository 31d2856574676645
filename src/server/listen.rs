//! The listener: accepts TLS connections, and closes them when the server shuts down.
//!
//! It does not inspect requests. Each request carries the client of its connection as [`Peer`].

mod activity;
mod client_class;
mod connection;
mod connection_limiter;
mod frames;
mod gated_service;
mod h1_filter;
mod h2_filter;
mod handshake;
mod handshake_rate;
mod head_memory;
mod joined_writes;
mod limits;
mod long_names;
mod open_streams;
mod outgoing;
mod peer;
mod protocols;
mod proxy_addresses;
mod refusals;
mod request_gate;
mod request_memory;
mod resets;
mod service;
mod socket;
mod source_address;
mod stream_executor;
mod stream_memory;

pub use limits::{ClientLimits, ConnectionLimits, ConnectionOptions};
pub use peer::Peer;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::shutdown::{ServerPhase, Shutdown};
use crate::auth::TrustState;
use crate::runtime::Backoff;
use crate::telemetry::OnChange;
use crate::telemetry::connection_metrics::ConnectionMetrics;
use connection::{ConnectionCommand, Connections};
use service::RequestService;

/// Initial delay before another attempt to accept a connection, after a failure for lack of file
/// descriptors or memory.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(10);
/// Maximum delay before another attempt.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1);

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
    /// Limits on connections.
    #[command(flatten)]
    pub connections: ConnectionOptions,
}

/// Failure to open the port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process uses the port.
    #[error("port {} of {} is in use by another process: choose another with --secure-port", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// The port needs a privilege.
    #[error("this user may not open port {}: choose one above 1023 with --secure-port", .0.port())]
    Denied(SocketAddr),
    /// No network interface has the address.
    #[error("{} is not an address of this machine: choose another with --bind-address", .0.ip())]
    NotLocal(SocketAddr),
    /// Another error of the operating system.
    #[error("cannot listen on {address} (--bind-address, --secure-port): {cause}")]
    Other {
        /// Requested address.
        address: SocketAddr,
        /// Error of the operating system.
        #[source]
        cause: io::Error,
    },
}

/// Maximum number of connections that wait to be accepted; the kernel takes at most
/// `net.core.somaxconn`, which is 4096. With tokio's 128, a burst of one client made others wait a
/// second for their next SYN.
const BACKLOG: u32 = 4096;

/// Opens the port. Port 0 selects a free one, which the listener reports.
pub async fn bind(address: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(address, port);
    listen(address).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::PermissionDenied => BindError::Denied(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal(address),
        _ => BindError::Other { address, cause },
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of an earlier process may still be ending.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `app` until the server drains and its requests are done, or until
/// [`ConnectionLimits::drain`] after that.
///
/// Each handshake uses the current configuration of `tls`. `trusted` identifies front proxies, to
/// which other limits apply. Upgraded connections are no longer tracked here; their tasks watch the
/// phase of the server themselves.
pub async fn serve<S: RequestService>(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    trusted: watch::Receiver<TrustState>,
    app: S,
    limits: ConnectionLimits,
    metrics: ConnectionMetrics,
    shutdown: Shutdown,
) {
    let drain = limits.drain;
    let connections = Arc::new(Connections::new(limits, tls, trusted, metrics, shutdown.clone()));
    let (commands, command) = watch::channel(ConnectionCommand::Serve);
    let mut draining = pin!(shutdown.reached(ServerPhase::Draining));
    let mut backoff = Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY);
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
                let Some(permit) = connections.admit(peer.ip()) else { continue };
                tokio::spawn(Arc::clone(&connections).run(
                    stream,
                    peer,
                    permit,
                    app.clone(),
                    command.clone(),
                ));
            }
            Err(error) if concerns_one_connection(&error) => {
                debug!(%error, "a client disconnected before its connection was accepted")
            }
            Err(error) => {
                if outage.record(true) {
                    warn!(%error, "cannot accept connections, retrying");
                }
                tokio::select! {
                    () = &mut draining => break,
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                }
            }
        }
    }
    drop((listener, command));
    drain_connections(&commands, drain).await;
}

/// Lets connections finish, and aborts them after `timeout`.
async fn drain_connections(commands: &watch::Sender<ConnectionCommand>, timeout: Duration) {
    info!(connections = commands.receiver_count(), "no longer accepting connections");
    commands.send_replace(ConnectionCommand::Drain);
    // Every connection holds a receiver, so the channel closes when the last connection ends.
    if tokio::time::timeout(timeout, commands.closed()).await.is_err() {
        warn!(
            connections = commands.receiver_count(),
            "requests exceed the drain time, aborting them"
        );
        commands.send_replace(ConnectionCommand::Abort);
        commands.closed().await;
    }
}

/// Returns true if the error concerns a single client that disconnected before it was accepted, not
/// the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;
