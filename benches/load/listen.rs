//! HTTP/1.1 and HTTP/2 over TLS for the servers inside this program: accepts connections and passes
//! requests to a router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Maximum number of streams of a connection: more than any client opens.
const STREAMS: u32 = 1024;

/// Certificate chain, leaf first, with its key.
pub(crate) struct Pair {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Address of a server, and its certificate in PEM.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: String,
}

/// Serves on a thread of its own until the process ends, with a new certificate.
///
/// # Errors
/// No port is free.
pub(crate) fn start(app: Router) -> anyhow::Result<Served> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
    let served = Served { address: listener.local_addr()?, certificate: certificate.pem() };
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let pair = Pair { chain: vec![certificate.der().clone()], key };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        let outcome =
            runtime.block_on(async { serve(TcpListener::from_std(listener)?, pair, app).await });
        // A scenario that needs the server then fails with this error.
        outcome.context("the server ended")
    });
    Ok(served)
}

/// Serves until the process ends.
///
/// # Errors
/// The certificate or key is unusable, or the listener fails.
pub(crate) async fn serve(listener: TcpListener, pair: Pair, app: Router) -> anyhow::Result<()> {
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(pair.chain, pair.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, acceptor.clone(), app.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, app: Router) {
    let served = async {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let service = service_fn(move |request: Request<Incoming>| app.clone().oneshot(request));
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        match is_http2 {
            true => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(STREAMS).serve_connection(stream, service).await?
            }
            false => http1::Builder::new().serve_connection(stream, service).await?,
        }
        anyhow::Ok(())
    };
    // The client closes without `close_notify`, which counts as an error.
    let _ = served.await;
}
