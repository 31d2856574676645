//! HTTP baseline: the cost without resolution, checks or accounting. It uses the same axum, hyper,
//! rustls, aws-lc-rs, allocator and runtime as the real server, with one route that sends bytes
//! from memory: one response for all requests, or the response of each image.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use tokio::net::TcpListener;

use crate::listen::{self, Pair};
use crate::process::{Process, end_with_parent};
use crate::questions::RESOURCE;
use crate::site::{CHAIN, KEY};

const FOUND: &str = "http-baseline-found.json";
const MISSING: &str = "http-baseline-missing.json";
const IMAGES: &str = "http-baseline-images.json";

/// Starts an HTTP baseline that sends one response for all images that it finds, and one for all
/// others.
///
/// # Errors
/// The baseline does not serve.
pub(crate) fn start(folder: &Path, found: &[u8], missing: &[u8]) -> anyhow::Result<Process> {
    start_with(folder, &HashMap::new(), found, missing)
}

/// Starts an HTTP baseline that sends the response of each image, which is in a map by name.
///
/// # Errors
/// The baseline does not serve.
pub(crate) fn start_all(
    folder: &Path,
    images: &HashMap<String, String>,
) -> anyhow::Result<Process> {
    start_with(folder, images, &[], &[])
}

/// Starts an HTTP baseline in the folder of a site. It uses the certificate of the real servers.
fn start_with(
    folder: &Path,
    images: &HashMap<String, String>,
    found: &[u8],
    missing: &[u8],
) -> anyhow::Result<Process> {
    fs::write(folder.join(IMAGES), serde_json::to_vec(images)?)?;
    fs::write(folder.join(FOUND), found)?;
    fs::write(folder.join(MISSING), missing)?;
    let mut command =
        Command::new(env::current_exe().context("the path of this program is unknown")?);
    Process::start(command.arg("--http-baseline").arg(folder))
        .context("the HTTP baseline does not start")
}

/// Runs the HTTP baseline of a folder.
///
/// # Errors
/// A file is unusable, or no port is free.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<()> {
    end_with_parent();
    let read = |name| fs::read(folder.join(name)).with_context(|| format!("{name} cannot be read"));
    let (found, missing) = (Bytes::from(read(FOUND)?), Bytes::from(read(MISSING)?));
    let images: HashMap<String, Bytes> =
        serde_json::from_slice::<HashMap<String, String>>(&read(IMAGES)?)?
            .into_iter()
            .map(|(name, body)| (name, body.into()))
            .collect();
    let path = format!("/apis/image.openshift.io/v1/namespaces/{{namespace}}/{RESOURCE}/{{name}}");
    let route = match images.is_empty() {
        true => get(async move || answer(StatusCode::OK, found)),
        false => get({
            let (images, missing) = (Arc::new(images), missing.clone());
            async move |extract::Path((_, name)): extract::Path<(String, String)>| match images
                .get(&name)
            {
                Some(body) => answer(StatusCode::OK, body.clone()),
                None => answer(StatusCode::NOT_FOUND, missing),
            }
        }),
    };
    let app = Router::new()
        .route(&path, route)
        .fallback(async move || answer(StatusCode::NOT_FOUND, missing));
    let chain = CertificateDer::pem_file_iter(folder.join(CHAIN))?.collect::<Result<_, _>>()?;
    let pair = Pair { chain, key: PrivateKeyDer::from_pem_file(folder.join(KEY))? };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        eprintln!(
            "{}",
            json!({"message": "serving", "address": listener.local_addr()?.to_string()})
        );
        listen::serve(listener, pair, app).await
    })
}

fn answer(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
