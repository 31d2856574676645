//! HTTP/1.1 over TLS for the servers inside this program: accepts connections and passes requests
//! to a router.

use std::sync::Arc;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Certificate chain, leaf first, with its key.
pub(crate) struct Pair {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Serves until the process ends.
///
/// # Errors
/// The certificate or key is unusable, or the listener fails.
pub(crate) async fn serve(listener: TcpListener, pair: Pair, app: Router) -> anyhow::Result<()> {
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(pair.chain, pair.key)?;
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
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
        anyhow::Ok(())
    };
    // The client closes without `close_notify`, which counts as an error.
    let _ = served.await;
}
