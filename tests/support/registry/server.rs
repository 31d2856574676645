//! The server: HTTP, or HTTPS with HTTP/2, on a port of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Request, Response, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certificates::ServerCertificate;

/// Response, or none to close the connection without one.
pub(crate) type Answer = Option<Response<Body>>;
type Responder = Arc<dyn Fn(&ReceivedRequest) -> Answer + Send + Sync>;

/// A request as the server received it.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    /// Path with the query.
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A running server. It stops when it is dropped.
pub(crate) struct RegistryServer {
    scheme: &'static str,
    address: SocketAddr,
    log: Arc<Mutex<Vec<ReceivedRequest>>>,
    task: JoinHandle<()>,
}

impl RegistryServer {
    /// Starts a server without TLS.
    pub(crate) async fn start(
        respond: impl Fn(&ReceivedRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve("http", None, Arc::new(respond)).await
    }

    /// Starts a server with TLS.
    pub(crate) async fn start_tls(
        certificate: &ServerCertificate,
        respond: impl Fn(&ReceivedRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(certificate.config()));
        Self::serve("https", Some(acceptor), Arc::new(respond)).await
    }

    async fn serve(scheme: &'static str, tls: Option<TlsAcceptor>, respond: Responder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let log = Arc::default();
        let task = tokio::spawn(accept(listener, tls, respond, Arc::clone(&log)));
        Self { scheme, address, log, task }
    }

    /// Host and port, for references.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// All requests until now.
    pub(crate) fn log(&self) -> Vec<ReceivedRequest> {
        self.log.lock().expect("no test panics with the lock").clone()
    }

    /// Targets of all requests until now.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.log().into_iter().map(|request| request.target).collect()
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReceivedRequest {
    /// Path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Value of the `Authorization` header; empty without one.
    pub(crate) fn authorization(&self) -> &str {
        let value = self.headers.get(header::AUTHORIZATION);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    respond: Responder,
    log: Arc<Mutex<Vec<ReceivedRequest>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, respond, log) = (tls.clone(), respond.clone(), log.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, respond, log).await,
                Some(tls) => {
                    if let Ok(stream) = handshake(tls, stream).await {
                        connection(stream, respond, log).await;
                    }
                }
            }
        });
    }
}

async fn handshake(
    tls: TlsAcceptor,
    stream: TcpStream,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    tls.accept(stream).await
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    respond: Responder,
    log: Arc<Mutex<Vec<ReceivedRequest>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (respond, log) = (respond.clone(), log.clone());
        async move {
            let received = receive(request).await;
            log.lock().expect("no test panics with the lock").push(received.clone());
            respond(&received).ok_or("the test closes the connection")
        }
    });
    // Clients of these tests break connections on purpose.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn receive(request: Request<Incoming>) -> ReceivedRequest {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, 1 << 20).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    ReceivedRequest {
        method: parts.method.to_string(),
        target: target.to_owned(),
        version: parts.version,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// A body that sends chunks for as long as the client reads, up to `count` of them.
pub(crate) fn chunks(chunk: &'static [u8], count: usize) -> Body {
    let chunks = std::iter::repeat_n(chunk, count);
    Body::from_stream(futures_util::stream::iter(chunks.map(Ok::<_, Infallible>)))
}
