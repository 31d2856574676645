//! Tests of the listener with real clients and sockets.

mod draining;
mod limits;

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::auth::{CaBundle, FrontProxy, Trust};

use super::*;
use crate::tls::{CertificateSource, MinVersion, Protocol, ServingCertificate, server_config};

const DEADLINE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(40);
const NEVER: Duration = Duration::from_secs(3600);
/// Size of a response in bytes, many times that of the socket buffers.
const LARGE: usize = 32 << 20;

async fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("the deadline has passed")
}

/// A running server. Requests to `/held` send to `held` and wait for `release`.
struct Server {
    address: SocketAddr,
    anchor: CertificateDer<'static>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
    held: mpsc::UnboundedReceiver<()>,
    release: Arc<Semaphore>,
    proxies: Proxies,
    metrics: ConnectionMetrics,
    _folder: tempfile::TempDir,
    _tls: watch::Sender<Arc<ServerConfig>>,
    _trusted: watch::Sender<TrustState>,
}

/// The CA of front proxies.
struct Proxies(rcgen::Issuer<'static, rcgen::KeyPair>, String);

impl Proxies {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(rcgen::Issuer::new(params, key), pem)
    }

    fn trusted(&self) -> TrustState {
        let ca_bundle = CaBundle::parse(self.1.as_bytes(), UnixTime::now()).unwrap();
        let proxy = FrontProxy { ca_bundle, allowed_names: vec![], headers: Default::default() };
        let trust = Trust { clients: None, front_proxy: Some(Arc::new(proxy)) };
        TrustState { trust: Arc::new(trust), awaited: None }
    }

    fn proxy(&self) -> ClientIdentity {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        ClientIdentity { certificate, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
    }
}

fn app(announce: mpsc::UnboundedSender<()>, release: Arc<Semaphore>) -> Router {
    let held = move || async move {
        announce.send(()).unwrap();
        release.acquire().await.unwrap().forget();
        "at last"
    };
    let peer = |Extension(peer): Extension<Peer>| async move {
        let leaf = peer.certificates.chain().first().map_or(0, |leaf| leaf.len());
        format!("{} {leaf}", peer.address)
    };
    let large = || async { Bytes::from_static(&[b'x'; LARGE]) };
    Router::new().route("/held", get(held)).route("/large", get(large)).route("/", get(peer))
}

async fn start(limits: ConnectionLimits) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let source = CertificateSource::folder(folder.path().into(), vec![]);
    let certificate = Arc::new(ServingCertificate::open(source, Timestamp::now()).await.unwrap());
    let anchor = CertificateDer::from_pem_slice(&certificate.bundle().borrow()).unwrap();
    let config =
        server_config(certificate, &Protocol::new(MinVersion::Tls12, &[]).unwrap(), vec![])
            .unwrap();
    let listener = bind(Ipv4Addr::LOCALHOST.into(), 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (announce, held) = mpsc::unbounded_channel();
    let (release, shutdown) = (Arc::new(Semaphore::new(0)), Shutdown::new());
    let (tls, configs) = watch::channel(Arc::new(config));
    let app = TowerToHyperService::new(app(announce, release.clone()));
    let proxies = Proxies::new();
    let (trusted, trust) = watch::channel(proxies.trusted());
    let metrics = ConnectionMetrics::default();
    let task = tokio::spawn(serve(
        listener,
        configs,
        trust,
        app,
        limits,
        metrics.clone(),
        shutdown.clone(),
    ));
    Server {
        address,
        anchor,
        shutdown,
        task,
        held,
        release,
        proxies,
        metrics,
        _folder: folder,
        _tls: tls,
        _trusted: trusted,
    }
}

/// Certificate and key of a client.
struct ClientIdentity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn stranger() -> ClientIdentity {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["stranger".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    ClientIdentity { certificate, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
}

/// The ClientHello of a client.
fn client_hello(config: ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut bytes = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

type Http1 = http1::SendRequest<Empty<Bytes>>;
type Http2 = http2::SendRequest<Empty<Bytes>>;

impl Server {
    fn client_config(&self, protocol: &[u8], identity: Option<ClientIdentity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.anchor.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(ClientIdentity { certificate, key }) => {
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    async fn tls(&self, protocol: &[u8], identity: Option<ClientIdentity>) -> TlsStream<TcpStream> {
        let config = self.client_config(protocol, identity);
        let socket = TcpSocket::new_v4().unwrap();
        // A small receive buffer, so that an unread response blocks the server.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = within_deadline(TlsConnector::from(Arc::new(config)).connect(name, stream))
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    /// A client, and the task of its connection.
    async fn http1(
        &self,
        identity: Option<ClientIdentity>,
    ) -> (Http1, JoinHandle<hyper::Result<()>>) {
        let stream = TokioIo::new(self.tls(b"http/1.1", identity).await);
        let (sender, connection) = http1::Builder::new().handshake(stream).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    async fn http2(&self) -> (Http2, JoinHandle<hyper::Result<()>>) {
        self.http2_as(None).await
    }

    async fn http2_as(
        &self,
        identity: Option<ClientIdentity>,
    ) -> (Http2, JoinHandle<hyper::Result<()>>) {
        let stream = TokioIo::new(self.tls(b"h2", identity).await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        (sender, tokio::spawn(connection))
    }
}

fn request(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).header("host", "localhost").body(Empty::new()).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    assert_eq!(response.status(), 200);
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_of_both_protocols_carry_their_peer() {
    let server = start(ConnectionLimits::default()).await;
    let (mut first, _) = server.http1(None).await;
    for _ in 0..2 {
        let response = text(within_deadline(first.send_request(request("/"))).await.unwrap()).await;
        assert!(response.starts_with("127.0.0.1:") && response.ends_with(" 0"), "{response}");
    }
    let (mut second, _) = server.http2().await;
    let response =
        text(within_deadline(second.send_request(request("https://localhost/"))).await.unwrap())
            .await;
    assert!(response.starts_with("127.0.0.1:") && response.ends_with(" 0"), "{response}");
}

#[tokio::test]
async fn unverified_client_certificates_reach_each_request() {
    let server = start(ConnectionLimits::default()).await;
    let identity = stranger();
    let length = identity.certificate.len();
    let (mut client, _) = server.http1(Some(identity)).await;
    for _ in 0..2 {
        let response =
            text(within_deadline(client.send_request(request("/"))).await.unwrap()).await;
        assert!(response.ends_with(&format!(" {length}")), "{response}");
    }
}

#[tokio::test]
async fn plain_http_gets_a_hint_to_use_https() {
    let server = start(ConnectionLimits::default()).await;
    for sent in
        ["GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), format!("PATCH /{}", "x".repeat(20_000))]
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut response = String::new();
        within_deadline(stream.read_to_string(&mut response)).await.unwrap();
        assert_eq!(
            response,
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        );
    }
}

#[tokio::test]
async fn a_silent_client_is_disconnected_and_delays_no_other() {
    let server = start(ConnectionLimits {
        handshake: Duration::from_millis(500),
        handshakes: 1,
        ..ConnectionLimits::default()
    })
    .await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let (mut client, _) = server.http1(None).await;
    text(within_deadline(client.send_request(request("/"))).await.unwrap()).await;
    assert_eq!(within_deadline(silent.read(&mut [0; 8])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn stalled_handshakes_do_not_block_others() {
    let server =
        start(ConnectionLimits { handshake: NEVER, handshakes: 2, ..ConnectionLimits::default() })
            .await;
    let hello = client_hello(server.client_config(b"http/1.1", None));
    let mut stalled = Vec::new();
    for sent in [&hello[..1], &hello[..1], &hello[..1], &hello[..hello.len() - 1]] {
        stalled.push(TcpStream::connect(server.address).await.unwrap());
        stalled.last_mut().unwrap().write_all(sent).await.unwrap();
    }
    // These two hold the permits: the server has sent its part of the handshake.
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        within_deadline(stream.read_u8()).await.unwrap();
        stalled.push(stream);
    }
    let (mut client, _) = server.http1(None).await;
    text(within_deadline(client.send_request(request("/"))).await.unwrap()).await;
}

/// Reads a body with a pause after each MiB, and returns its length.
async fn read_slowly(mut body: Incoming, pause: Duration) -> usize {
    let (mut length, mut next) = (0, 1 << 20);
    while let Some(frame) = within_deadline(body.frame()).await {
        length += frame.expect("the response is complete").into_data().unwrap().len();
        if length >= next {
            next += 1 << 20;
            tokio::time::sleep(pause).await;
        }
    }
    length
}

#[tokio::test]
async fn a_slow_reader_gets_a_large_response() {
    let idle = Duration::from_secs(1);
    let server = start(ConnectionLimits { idle, ..ConnectionLimits::default() }).await;
    let (mut first, _) = server.http1(None).await;
    let (mut second, _) = server.http2().await;
    let first = within_deadline(first.send_request(request("/large"))).await.unwrap().into_body();
    let second = within_deadline(second.send_request(request("https://localhost/large")))
        .await
        .unwrap()
        .into_body();
    let lengths = tokio::join!(read_slowly(first, idle / 10), read_slowly(second, idle / 10));
    assert_eq!(lengths, (LARGE, LARGE));
}

#[tokio::test]
async fn a_stalled_reader_is_disconnected() {
    let mut server = start(ConnectionLimits { idle: SHORT, ..ConnectionLimits::default() }).await;
    let mut stalled = server.tls(b"http/1.1", None).await;
    stalled.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let (mut second, second_end) = server.http2().await;
    let unread =
        within_deadline(second.send_request(request("https://localhost/large"))).await.unwrap();
    let _ = within_deadline(second_end).await.unwrap();
    drop(unread);
    // The server has closed the connections, though the clients have not.
    server.shutdown.advance(ServerPhase::Draining);
    within_deadline(&mut server.task).await.unwrap();
    drop(stalled);
}

#[tokio::test]
async fn http2_pings_do_not_reset_the_idle_timeout() {
    let ping_interval = SHORT / 4;
    let server =
        start(ConnectionLimits { idle: SHORT, ping_interval, ..ConnectionLimits::default() }).await;
    let (mut client, end) = server.http2().await;
    text(within_deadline(client.send_request(request("https://localhost/"))).await.unwrap()).await;
    within_deadline(end).await.unwrap().unwrap();
}

#[tokio::test]
async fn slow_headers_end_a_connection_but_idling_does_not() {
    let server =
        start(ConnectionLimits { header_read: SHORT, idle: NEVER, ..ConnectionLimits::default() })
            .await;
    let (mut idle, _) = server.http1(None).await;
    text(within_deadline(idle.send_request(request("/"))).await.unwrap()).await;
    let mut slow = server.tls(b"http/1.1", None).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
    assert_eq!(within_deadline(slow.read(&mut [0; 64])).await.unwrap_or(0), 0);
    let mut second = server.tls(b"http/1.1", None).await;
    second.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut response = [0; 1024];
    within_deadline(second.read(&mut response)).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200 OK"));
    second.write_all(b"GET").await.unwrap();
    while within_deadline(second.read(&mut response)).await.unwrap_or(0) > 0 {}
    text(within_deadline(idle.send_request(request("/"))).await.unwrap()).await;
}

#[tokio::test]
async fn idle_connections_are_closed_but_busy_ones_are_not() {
    let mut server = start(ConnectionLimits { idle: SHORT, ..ConnectionLimits::default() }).await;
    let (mut busy, _) = server.http1(None).await;
    let response = tokio::spawn(busy.send_request(request("/held")));
    within_deadline(server.held.recv()).await;
    let (mut first, first_end) = server.http1(None).await;
    let (_second, second_end) = server.http2().await;
    text(within_deadline(first.send_request(request("/"))).await.unwrap()).await;
    within_deadline(first_end).await.unwrap().unwrap();
    within_deadline(second_end).await.unwrap().unwrap();
    server.release.add_permits(1);
    assert_eq!(text(within_deadline(response).await.unwrap().unwrap()).await, "at last");
}

#[tokio::test]
async fn each_handshake_uses_the_current_configuration() {
    let server = start(ConnectionLimits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let source = CertificateSource::folder(folder.path().into(), vec![]);
    let certificate = Arc::new(ServingCertificate::open(source, Timestamp::now()).await.unwrap());
    let anchor = CertificateDer::from_pem_slice(&certificate.bundle().borrow()).unwrap();
    server._tls.send_replace(Arc::new(
        server_config(certificate, &Protocol::new(MinVersion::Tls12, &[]).unwrap(), vec![])
            .unwrap(),
    ));
    let server = Server { anchor, ..server };
    text(within_deadline(server.http1(None).await.0.send_request(request("/"))).await.unwrap())
        .await;
}

#[tokio::test]
async fn bind_errors_name_their_flags() {
    let taken = bind(Ipv4Addr::LOCALHOST.into(), 0).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = bind(Ipv4Addr::LOCALHOST.into(), port).await.unwrap_err().to_string();
    let expected = format!(
        "port {port} of 127.0.0.1 is in use by another process: choose another with --secure-port"
    );
    assert_eq!(error, expected);
    let error = bind(Ipv4Addr::new(192, 0, 2, 1).into(), 0).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "192.0.2.1 is not an address of this machine: choose another with --bind-address"
    );
}

#[test]
fn an_aborted_connection_is_no_listener_error() {
    assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    assert!(!concerns_one_connection(&io::Error::from_raw_os_error(24)));
}
