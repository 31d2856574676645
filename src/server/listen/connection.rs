//! A connection: TLS handshake, then HTTP/1.1 or HTTP/2 by ALPN, with timeouts and graceful
//! shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;
use tracing::debug;

use super::activity::{
    Activity, ConnectionState, SendDeadline, Timeouts, TrackedBody, TrackedStream,
};
use super::h2_filter::{H2Filter, H2Limits};
use super::handshake::Handshakes;
use super::limits::{ConnectionLimits, DRAIN_GRACE};
use super::peer::Peer;
use super::service::{BoxError, RequestService};
use super::socket;
use super::stream_executor::StreamExecutor;
use crate::auth::{PeerCertificates, TrustState};
use crate::server::respond::EventStream;
use crate::server::shutdown::Shutdown;

/// Flow control window of an HTTP/2 stream in bytes: `resourceBody99Percentile` in
/// k8s.io/apiserver/pkg/server/secure_serving.go.
const STREAM_WINDOW: u32 = 256 << 10;
/// Flow control window of an HTTP/2 connection in bytes. The proxy of kube-apiserver multiplexes
/// all users over a few connections. In a window of a few streams, unread bodies would block
/// all users.
const CONNECTION_WINDOW: u32 = 16 << 20;

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
    http1: http1::Builder,
    /// For front proxies, which send a header line for each group of a user. Not for all clients,
    /// because hyper allocates room for the maximum number of lines for each request.
    proxy_http1: http1::Builder,
    http2: http2::Builder<StreamExecutor>,
    h2_limits: H2Limits,
    trusted: watch::Receiver<TrustState>,
    timeouts: Timeouts,
}

impl Connections {
    pub(super) fn new(
        limits: ConnectionLimits,
        tls: watch::Receiver<Arc<ServerConfig>>,
        trusted: watch::Receiver<TrustState>,
        shutdown: Shutdown,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        // `Activity` times the headers, without a timer for each request.
        http1.timer(TokioTimer::new()).header_read_timeout(None);
        let header_bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX).max(8 << 10);
        // The buffer size alone is not an exact limit: its last read may exceed it and complete the
        // headers.
        http1.max_buf_size(header_bytes).max_header_size(header_bytes);
        let mut proxy_http1 = http1.clone();
        proxy_http1.max_headers(limits.header_lines);
        let mut http2 = http2::Builder::new(StreamExecutor { send: limits.send, shutdown });
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            // `H2Filter` limits the rate of resets instead of their number.
            .max_pending_accept_reset_streams(usize::MAX)
            .max_local_error_reset_streams(None)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout);
        let handshakes = Handshakes::new(tls, limits.handshakes, limits.handshake);
        // Twice as many, because h2 removes a reset stream slightly later than the filter.
        let streams = usize::try_from(limits.streams).unwrap_or(usize::MAX).saturating_mul(2);
        let h2_limits = H2Limits { streams, resets: limits.resets };
        let ConnectionLimits { header_read, idle, send, .. } = limits;
        let timeouts = Timeouts { header_read, idle, send, watch: send };
        Self { handshakes, http1, proxy_http1, http2, h2_limits, trusted, timeouts }
    }

    /// Serves a connection until it is closed.
    pub(super) async fn run<S: RequestService>(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        app: S,
        mut command: watch::Receiver<ConnectionCommand>,
    ) {
        socket::set_options(&stream);
        let handshake = tokio::select! {
            // Each stage is boxed, so that its memory is freed when it ends.
            handshake = Box::pin(self.handshakes.accept(stream)) => handshake,
            // No request has arrived, so none must be finished.
            _ = command.changed() => return,
        };
        match handshake {
            Ok(stream) => Box::pin(self.serve(stream, address, app, command)).await,
            Err(error) => debug!(%address, %error, "TLS handshake failed"),
        }
    }

    async fn serve<S: RequestService>(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        app: S,
        command: watch::Receiver<ConnectionCommand>,
    ) {
        let (_, session) = stream.get_ref();
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|der| der.clone().into_owned()).collect();
        let peer = Peer { address, certificates: Arc::new(PeerCertificates::new(certificates)) };
        let is_front_proxy = {
            let (certificates, trusted) = (Arc::clone(&peer.certificates), self.trusted.clone());
            move || certificates.are_of_front_proxy(&trusted.borrow().trust, UnixTime::now())
        };
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let activity = if is_http2 { Activity::idle() } else { Activity::awaiting_head() };
        let tracked = Arc::clone(&activity);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let in_flight = tracked.enter();
            request.extensions_mut().insert(peer.clone());
            let response = app.clone().oneshot(request);
            async move {
                response.await.map(|response| {
                    let deadline = deadline(&response);
                    response.map(|body| TrackedBody::new(body, deadline, in_flight))
                })
            }
        });
        let ended = if is_http2 {
            let stream =
                H2Filter::new(stream, Arc::clone(&activity), self.h2_limits, is_front_proxy);
            let is_closed = stream.is_closed();
            let connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
            self.drive(pin!(UntilClosed { connection, is_closed }), &activity, command).await
        } else {
            let http1 = if is_front_proxy() { &self.proxy_http1 } else { &self.http1 };
            // Only on HTTP/1.1, because on HTTP/2 idle connections receive pings.
            let stream = TrackedStream { stream, activity: Arc::clone(&activity) };
            let connection =
                pin!(http1.serve_connection(TokioIo::new(stream), service).with_upgrades());
            self.drive(connection, &activity, command).await
        };
        if let Err(error) = ended {
            debug!(%address, error = %ErrorChain(&error), "connection failed");
        }
    }

    /// Drives a connection until it is closed, times out or is aborted.
    async fn drive<C: Graceful>(
        &self,
        mut connection: Pin<&mut C>,
        activity: &Activity,
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
                    next_check.as_mut().reset(Instant::now() + check_interval);
                }
            }
        }
    }
}

/// Scope of the send timeout of a response.
fn deadline<B: Body>(response: &Response<B>) -> SendDeadline {
    match response.body().size_hint().exact() {
        Some(_) => SendDeadline::Response,
        None if response.extensions().get::<EventStream>().is_some() => SendDeadline::Event,
        None => SendDeadline::Part,
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

/// An HTTP/2 connection that is driven until it is closed.
///
/// hyper reports completion as soon as one request is CONNECT with a body (`poll_server` in
/// hyper/src/proto/h2/server.rs), which would end all other streams. By then hyper has only reset
/// that stream, so the connection is polled again.
struct UntilClosed<'a, C> {
    connection: Pin<&'a mut C>,
    is_closed: Arc<AtomicBool>,
}

impl<C: Graceful> Future for UntilClosed<'_, C> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.connection.as_mut().poll(cx)) {
            Ok(()) if !self.is_closed.load(Relaxed) => {
                // In the next turn, so that timeouts apply whatever hyper does.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            ended => Poll::Ready(ended),
        }
    }
}

impl<C: Graceful> Graceful for UntilClosed<'_, C> {
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
