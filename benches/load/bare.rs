//! The bare server: what remains when nothing is looked up, checked or counted. The same axum, hyper, rustls and
//! aws-lc-rs as in the real server, in the same allocator and runtime, with one route that sends bytes from memory.

use std::io::{Read, stdin};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs, process, thread};

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::questions::RESOURCE;

const FOUND: &str = "bare-found.json";
const MISSING: &str = "bare-missing.json";

/// Puts down what the bare server answers. Its certificate is the one that the real server made in the folder.
pub(crate) fn prepare(folder: &Path, found: &[u8], missing: &[u8]) -> anyhow::Result<()> {
    fs::write(folder.join(FOUND), found)?;
    fs::write(folder.join(MISSING), missing)?;
    Ok(())
}

/// The command that serves what was prepared in a folder.
pub(crate) fn command(folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("the path of this program is not known")?);
    command.arg("--bare").arg(folder);
    Ok(command)
}

/// Serves what was prepared in a folder, until the standard input is closed.
///
/// # Errors
/// A file that cannot be used, or no port.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<()> {
    thread::spawn(|| {
        // Nothing is ever sent: reading ends with the process that started this one, which then has no more use.
        let _ = stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    let read = |name| fs::read(folder.join(name)).with_context(|| format!("{name} cannot be read"));
    let (found, missing) = (Bytes::from(read(FOUND)?), Bytes::from(read(MISSING)?));
    let path = format!("/apis/image.openshift.io/v1/namespaces/{{namespace}}/{RESOURCE}/{{name}}");
    let app = Router::new()
        .route(&path, get(async move || answer(StatusCode::OK, found)))
        .fallback(async move || answer(StatusCode::NOT_FOUND, missing));
    let acceptor = acceptor(&folder.join("certs"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        eprintln!("{}", json!({"message": "serving", "address": listener.local_addr()?.to_string()}));
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream, acceptor.clone(), app.clone()));
        }
    })
}

fn answer(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn acceptor(certificates: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificates.join("apiserver.crt"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(certificates.join("apiserver.key"))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, app: Router) {
    let served = async {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let service = service_fn(move |request: Request<Incoming>| app.clone().oneshot(request));
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
        anyhow::Ok(())
    };
    // The client closes without the words of TLS, which counts as an error.
    let _ = served.await;
}
