//! One connection: handshake, then HTTP/1.1 or HTTP/2 as the handshake agreed, watched for idleness and for the end of
//! the server.

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

use super::activity::{Activity, Counted, Heard, Pace, Patience, Verdict};
use super::h2_filter::{H2Filter, H2Limits};
use super::handshake::Handshakes;
use super::service::RequestService;
use super::streams::Streams;
use super::{BoxError, LAST_WORDS, Limits, Peer, prepare};
use crate::auth::{PeerCertificates, TrustState};
use crate::server::respond::EventStream;
use crate::server::shutdown::Shutdown;

/// Bytes in transit that one stream of HTTP/2 may have unread, as in Kubernetes.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for a connection. The proxy of kube-apiserver sends all users over a few connections, so that it has to be
/// many times the window of a stream, or a few unread bodies stop everybody.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What the listener tells every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// Answer what was asked, take nothing new.
    Finish,
    /// End now.
    Abort,
}

/// What the connections have in common.
pub(super) struct Connections {
    handshakes: Handshakes,
    http1: http1::Builder,
    /// For front proxies: only those may name many groups, a line each, and room for more lines than usual has to be made for
    /// every request.
    http1_of_proxies: http1::Builder,
    http2: http2::Builder<Streams>,
    h2_limits: H2Limits,
    trusted: watch::Receiver<TrustState>,
    patience: Patience,
}

impl Connections {
    pub(super) fn new(
        limits: Limits,
        tls: watch::Receiver<Arc<ServerConfig>>,
        trusted: watch::Receiver<TrustState>,
        shutdown: Shutdown,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        // The headers are timed by `Activity`, which costs no timer a request.
        http1.timer(TokioTimer::new()).header_read_timeout(None);
        let header_bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX).max(8 << 10);
        // The buffer alone is no exact limit: its last read may overshoot and complete the headers.
        http1.max_buf_size(header_bytes).max_header_size(header_bytes);
        let mut http1_of_proxies = http1.clone();
        http1_of_proxies.max_headers(limits.header_lines);
        let mut http2 = http2::Builder::new(Streams { send: limits.send, shutdown });
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            // `H2Filter` takes the place of both, with a rate instead of a number.
            .max_pending_accept_reset_streams(usize::MAX)
            .max_local_error_reset_streams(None)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout);
        let handshakes = Handshakes::new(tls, limits.handshakes, limits.handshake);
        // Twice as many: h2 learns of a reset, and forgets a stream, a little later than the filter does.
        let streams = usize::try_from(limits.streams).unwrap_or(usize::MAX).saturating_mul(2);
        let h2_limits = H2Limits { streams, resets: limits.resets };
        let Limits { header_read, idle, send, .. } = limits;
        let patience = Patience { header_read, idle, send, watch: send };
        Self { handshakes, http1, http1_of_proxies, http2, h2_limits, trusted, patience }
    }

    /// Runs a connection to its end.
    pub(super) async fn run<S: RequestService>(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        app: S,
        mut order: watch::Receiver<Order>,
    ) {
        prepare(&stream);
        let handshake = tokio::select! {
            // Each stage has a place of its own, which is there only while it lasts.
            handshake = Box::pin(self.handshakes.accept(stream)) => handshake,
            // Nothing was asked yet, so nothing is owed.
            _ = order.changed() => return,
        };
        match handshake {
            Ok(stream) => Box::pin(self.serve(stream, address, app, order)).await,
            Err(error) => debug!(%address, %error, "no TLS connection came about"),
        }
    }

    async fn serve<S: RequestService>(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        app: S,
        order: watch::Receiver<Order>,
    ) {
        let (_, session) = stream.get_ref();
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|der| der.clone().into_owned()).collect();
        let peer = Peer { address, certificates: Arc::new(PeerCertificates::new(certificates)) };
        let is_front_proxy = {
            let (certificates, trusted) = (Arc::clone(&peer.certificates), self.trusted.clone());
            move || certificates.are_of_front_proxy(&trusted.borrow().trust, UnixTime::now())
        };
        let speaks_http2 = session.alpn_protocol() == Some(b"h2");
        let activity = if speaks_http2 { Activity::idle() } else { Activity::awaiting_head() };
        let counted = Arc::clone(&activity);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let in_flight = counted.enter();
            request.extensions_mut().insert(peer.clone());
            let answer = app.clone().oneshot(request);
            async move {
                answer.await.map(|response| {
                    let pace = pace(&response);
                    response.map(|body| Counted::new(body, pace, in_flight))
                })
            }
        });
        let ended = if speaks_http2 {
            let stream = H2Filter::new(stream, Arc::clone(&activity), self.h2_limits, is_front_proxy);
            let is_over = stream.is_over();
            let connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
            self.attend(pin!(ToItsEnd { connection, is_over }), &activity, order).await
        } else {
            let http1 = if is_front_proxy() { &self.http1_of_proxies } else { &self.http1 };
            // On HTTP/2 bytes arrive that are no headers.
            let stream = Heard { stream, activity: Arc::clone(&activity) };
            let connection = pin!(http1.serve_connection(TokioIo::new(stream), service).with_upgrades());
            self.attend(connection, &activity, order).await
        };
        if let Err(error) = ended {
            debug!(%address, error = %Chain(&error), "a connection ended badly");
        }
    }

    /// Drives a connection until it ends, or has to.
    async fn attend<C: Graceful>(
        &self,
        mut connection: Pin<&mut C>,
        activity: &Activity,
        mut order: watch::Receiver<Order>,
    ) -> hyper::Result<()> {
        let mut patience = self.patience;
        let mut grain = patience.grain();
        let mut look = pin!(sleep(grain));
        let mut idle_before = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => return ended,
                changed = order.changed() => {
                    let now = *order.borrow_and_update();
                    match now {
                        _ if changed.is_err() => return Ok(()),
                        Order::Serve => {}
                        Order::Finish => {
                            connection.as_mut().finish();
                            let Patience { send, watch, .. } = patience;
                            let watch = watch.min(LAST_WORDS);
                            patience = Patience { header_read: LAST_WORDS, idle: LAST_WORDS, send, watch };
                            grain = patience.grain();
                            look.as_mut().reset(Instant::now() + grain);
                        }
                        Order::Abort => return Ok(()),
                    }
                },
                () = &mut look => {
                    match activity.judge(patience) {
                        Verdict::Fine => idle_before = false,
                        Verdict::Idle if !idle_before => {
                            idle_before = true;
                            connection.as_mut().finish();
                        }
                        // The client took too long, or neither asked or took anything more nor closed its end.
                        Verdict::Idle | Verdict::SlowHeaders | Verdict::SlowReader => return Ok(()),
                    }
                    look.as_mut().reset(Instant::now() + grain);
                }
            }
        }
    }
}

/// In which time an answer must be read.
fn pace<B: Body>(response: &Response<B>) -> Pace {
    match response.body().size_hint().exact() {
        Some(_) => Pace::Whole,
        None if response.extensions().get::<EventStream>().is_some() => Pace::Events,
        None => Pace::Parts,
    }
}

/// An HTTP connection that can be asked to end after the requests it has.
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

impl<I, S, B> Graceful for http2::Connection<I, S, Streams>
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

/// A connection of HTTP/2 that goes on until it is over.
///
/// hyper calls it complete as soon as one request is CONNECT with a body (`poll_server` in hyper/src/proto/h2/server.rs), which
/// would end the streams of everybody else. All that hyper has done by then is to reset the one stream, so it is polled again.
struct ToItsEnd<'a, C> {
    connection: Pin<&'a mut C>,
    is_over: Arc<AtomicBool>,
}

impl<C: Graceful> Future for ToItsEnd<'_, C> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.connection.as_mut().poll(cx)) {
            Ok(()) if !self.is_over.load(Relaxed) => {
                // In the next turn, so that timeouts hold whatever hyper does.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            ended => Poll::Ready(ended),
        }
    }
}

impl<C: Graceful> Graceful for ToItsEnd<'_, C> {
    fn finish(mut self: Pin<&mut Self>) {
        self.connection.as_mut().finish();
    }
}

/// An error with its causes: hyper's own text leaves them out.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
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
