//! A connection: TLS handshake, then HTTP/1.1 or HTTP/2 by ALPN, with timeouts and graceful
//! shutdown.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::activity::{Activity, ConnectionState, Timeouts};
use super::client_class::ClientClass;
use super::connection_limiter::{ConnectionLimit, ConnectionLimiter, ConnectionPermit};
use super::gated_service::gated;
use super::h1_filter::H1Filter;
use super::h2_filter::{H2Filter, H2Limits};
use super::handshake::{HandshakeError, Handshakes};
use super::head_memory::HeadMemory;
use super::joined_writes::JoinedWrites;
use super::limits::{ConnectionLimits, DRAIN_GRACE};
use super::peer::Peer;
use super::protocols::ProtocolsByClass;
use super::refusals::Refusals;
use super::request_gate::RequestGate;
use super::request_memory::{MemoryAccount, RequestMemory};
use super::service::{BoxError, RequestService};
use super::socket;
use super::stream_executor::StreamExecutor;
use super::stream_memory::StreamMemory;
use crate::auth::{PeerCertificates, TrustState};
use crate::server::shutdown::Shutdown;
use crate::telemetry::connection_metrics::{ConnectionMetrics, ConnectionRefusal};

/// A command of the listener to all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionCommand {
    /// Serve requests.
    Serve,
    /// Finish requests in flight and accept no new ones.
    Drain,
    /// Close at once.
    Abort,
}

/// Configuration and state that all connections share.
pub(super) struct Connections {
    handshakes: Handshakes,
    limiter: Arc<ConnectionLimiter>,
    protocols: ProtocolsByClass,
    resets: u32,
    request_memory: Arc<RequestMemory>,
    refusals: Arc<Refusals>,
    trusted: watch::Receiver<TrustState>,
    timeouts: Timeouts,
}

/// A client after its handshake.
struct IdentifiedClient {
    peer: Peer,
    class: ClientClass,
    /// Memory of its requests; none for a front proxy.
    account: Option<Arc<MemoryAccount>>,
    permit: ConnectionPermit,
}

impl Connections {
    pub(super) fn new(
        limits: ConnectionLimits,
        tls: watch::Receiver<Arc<ServerConfig>>,
        trusted: watch::Receiver<TrustState>,
        metrics: ConnectionMetrics,
        shutdown: Shutdown,
    ) -> Self {
        let protocols = ProtocolsByClass::new(&limits, &shutdown);
        let handshakes = Handshakes::new(tls, limits.handshakes, limits.handshake);
        let limit = ConnectionLimit {
            total: limits.connections,
            per_address: limits.connections_per_address,
            handshakes_per_address: limits.handshakes_per_address,
        };
        let ConnectionLimits { header_read, idle, send, resets, .. } = limits;
        Self {
            handshakes,
            limiter: ConnectionLimiter::new(limit, metrics.clone()),
            protocols,
            resets,
            request_memory: RequestMemory::new(limits.request_memory),
            refusals: Arc::new(Refusals::new(metrics)),
            trusted,
            timeouts: Timeouts { header_read, idle, send, watch: send },
        }
    }

    /// Admits a connection, or records its refusal.
    pub(super) fn admit(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let admitted = self.limiter.admit(address, Instant::now().into_std());
        admitted.inspect_err(|&why| self.refusals.record(why, address)).ok()
    }

    /// Serves a connection until it is closed.
    pub(super) async fn run<S: RequestService>(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        permit: ConnectionPermit,
        app: S,
        mut command: watch::Receiver<ConnectionCommand>,
    ) {
        socket::set_options(&stream);
        let handshake = tokio::select! {
            // Each stage is boxed, so that its memory is freed when it ends.
            handshake = Box::pin(self.handshakes.accept(stream, &permit)) => handshake,
            // No request has arrived, so none must be finished.
            _ = command.changed() => return,
        };
        match handshake {
            Ok(stream) => Box::pin(self.serve(stream, address, permit, app, command)).await,
            Err(HandshakeError::Refused(why)) => self.refusals.record(why, address.ip()),
            Err(HandshakeError::Failed(error)) => {
                debug!(%address, %error, "TLS handshake failed")
            }
        }
    }

    async fn serve<S: RequestService>(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        permit: ConnectionPermit,
        app: S,
        command: watch::Receiver<ConnectionCommand>,
    ) {
        let (_, session) = stream.get_ref();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|der| der.clone().into_owned()).collect();
        let peer = Peer { address, certificates: Arc::new(PeerCertificates::new(certificates)) };
        let client = match self.identify(peer, permit) {
            Ok(client) => client,
            Err(why) => return self.refusals.record(why, address.ip()),
        };
        let ended = match is_http2 {
            true => self.serve_http2(stream, client, app, command).await,
            false => self.serve_http1(stream, client, app, command).await,
        };
        if let Err(error) = ended {
            debug!(%address, error = %ErrorChain(&error), "connection failed");
        }
    }

    /// Determines the class of a client, and applies its limits.
    ///
    /// # Errors
    /// The limit that the connection exceeds.
    fn identify(
        &self,
        peer: Peer,
        mut permit: ConnectionPermit,
    ) -> Result<IdentifiedClient, ConnectionRefusal> {
        let (class, address) = (self.class_of(&peer)(), peer.address.ip());
        permit.classify(class, Instant::now().into_std())?;
        let account = permit.usage().map(|usage| {
            MemoryAccount::new(&self.request_memory, usage, class, address, &self.refusals)
        });
        Ok(IdentifiedClient { peer, class, account, permit })
    }

    /// A function that returns the current class of a client.
    fn class_of(&self, peer: &Peer) -> impl Fn() -> ClientClass + use<> {
        let (certificates, trusted) = (Arc::clone(&peer.certificates), self.trusted.clone());
        move || ClientClass::of(&certificates, &trusted)
    }

    async fn serve_http1<S: RequestService>(
        &self,
        stream: TlsStream<TcpStream>,
        client: IdentifiedClient,
        app: S,
        command: watch::Receiver<ConnectionCommand>,
    ) -> hyper::Result<()> {
        let IdentifiedClient { peer, class, account, permit } = client;
        let (protocols, current_class) = (self.protocols.of(class), self.class_of(&peer));
        let activity = Activity::awaiting_head();
        let head = account.as_ref().map(HeadMemory::new);
        let gate = RequestGate::http1(head.as_ref(), protocols.http1_header_bytes);
        let stream = H1Filter::new(stream, Arc::clone(&activity), head, permit);
        let service = gated(app, peer, Arc::clone(&activity), gate);
        let connection = protocols.http1.serve_connection(TokioIo::new(stream), service);
        let connection = pin!(connection.with_upgrades());
        self.drive(connection, &activity, || current_class() != class, command).await
    }

    async fn serve_http2<S: RequestService>(
        &self,
        stream: TlsStream<TcpStream>,
        client: IdentifiedClient,
        app: S,
        command: watch::Receiver<ConnectionCommand>,
    ) -> hyper::Result<()> {
        let IdentifiedClient { peer, class, account, permit: _permit } = client;
        let (protocols, current_class) = (self.protocols.of(class), self.class_of(&peer));
        let is_front_proxy = {
            let current_class = self.class_of(&peer);
            move || current_class() == ClientClass::FrontProxy
        };
        let activity = Activity::idle();
        let memory = account.as_ref().map(StreamMemory::new);
        let header_bytes = protocols.http2_header_bytes;
        let gate = RequestGate::http2(account.as_ref(), memory.as_ref(), header_bytes);
        let limits = H2Limits { streams: protocols.tracked_streams, resets: self.resets };
        let writes = JoinedWrites::new(stream);
        let stream =
            H2Filter::new(writes.clone(), Arc::clone(&activity), limits, memory, is_front_proxy);
        let is_closed = stream.is_closed();
        let service = gated(app, peer, Arc::clone(&activity), gate);
        let connection = pin!(protocols.http2.serve_connection(TokioIo::new(stream), service));
        let connection = pin!(UntilClosed { connection, writes, is_closed });
        self.drive(connection, &activity, || current_class() != class, command).await
    }

    /// Drives a connection until it is closed, times out or is aborted.
    async fn drive<C: Graceful>(
        &self,
        mut connection: Pin<&mut C>,
        activity: &Activity,
        is_outdated: impl Fn() -> bool,
        mut command: watch::Receiver<ConnectionCommand>,
    ) -> hyper::Result<()> {
        let mut timeouts = self.timeouts;
        let mut check_interval = timeouts.check_interval();
        let mut next_check = pin!(sleep(check_interval));
        let mut idle_before = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => return ended,
                changed = command.changed() => {
                    let now = *command.borrow_and_update();
                    match now {
                        _ if changed.is_err() => return Ok(()),
                        ConnectionCommand::Serve => {}
                        ConnectionCommand::Drain => {
                            connection.as_mut().finish();
                            let Timeouts { send, watch, .. } = timeouts;
                            let watch = watch.min(DRAIN_GRACE);
                            timeouts = Timeouts { header_read: DRAIN_GRACE, idle: DRAIN_GRACE, send, watch };
                            check_interval = timeouts.check_interval();
                            next_check.as_mut().reset(Instant::now() + check_interval);
                        }
                        ConnectionCommand::Abort => return Ok(()),
                    }
                },
                () = &mut next_check => {
                    match activity.state(timeouts) {
                        ConnectionState::Active => idle_before = false,
                        ConnectionState::Idle if !idle_before => {
                            idle_before = true;
                            connection.as_mut().finish();
                        }
                        // An idle client had one more interval to close its end.
                        ConnectionState::Idle | ConnectionState::SlowHeaders | ConnectionState::SlowReader => {
                            return Ok(());
                        }
                    }
                    // The client connects again under the limits of its new class.
                    if is_outdated() {
                        connection.as_mut().finish();
                    }
                    next_check.as_mut().reset(Instant::now() + check_interval);
                }
            }
        }
    }
}

/// An HTTP connection that can finish its requests and then close.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn finish(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Graceful for http2::Connection<I, S, StreamExecutor>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = B>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// An HTTP/2 connection that is driven until it is closed, and whose writes are sent after each
/// poll.
///
/// hyper reports completion as soon as one request is CONNECT with a body (`poll_server` in
/// hyper/src/proto/h2/server.rs), which would end all other streams. By then hyper has only reset
/// that stream, so the connection is polled again.
struct UntilClosed<'a, C, T> {
    connection: Pin<&'a mut C>,
    writes: JoinedWrites<T>,
    is_closed: Arc<AtomicBool>,
}

impl<C: Graceful, T: AsyncWrite + Unpin> Future for UntilClosed<'_, C, T> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.connection.as_mut().poll(cx);
        self.writes.send(cx);
        match ready!(polled) {
            Ok(()) if !self.is_closed.load(Relaxed) => {
                // In the next turn, so that timeouts apply whatever hyper does.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            ended => Poll::Ready(ended),
        }
    }
}

impl<C: Graceful, T: AsyncWrite + Unpin> Graceful for UntilClosed<'_, C, T> {
    fn finish(mut self: Pin<&mut Self>) {
        self.connection.as_mut().finish();
    }
}

/// An error with its causes, which the text of hyper omits.
struct ErrorChain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
