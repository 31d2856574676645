//! Authentication of requests that reach the server's own port without kube-apiserver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::{io, str};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::backend::{path, token};
use super::grants::service_account;
use super::objects::{self, SERVER, V1};
use super::pki::{self, Authority};
use super::site::{SHOP, anonymous, front_proxy, image, on_behalf, shared};
use crate::support::client::{Identity, Request};
use crate::support::expect::Expect;

/// A request with front-proxy headers that claim the group `system:masters`.
fn forged() -> Request {
    on_behalf("admin", &["system:masters"], "GET", &image())
}

#[tokio::test]
async fn headers_of_a_proxy_count_for_nothing_without_its_certificate() {
    let site = shared().await;
    let message = |answer: crate::support::client::Answer| answer.is(403)["message"].to_string();
    let nobody = message(site.backend.ask(&anonymous(), forged()).await);
    assert!(nobody.contains("system:anonymous"), "{nobody}");
    let alice = site.plane.user("alice", None).identity();
    let alice = message(site.backend.ask(&alice, forged()).await);
    assert!(alice.contains(r#"User \"alice\""#), "{alice}");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_proxys_is_refused() {
    let site = shared().await;
    let strangers = Authority::new("front-proxy-ca");
    let stranger = strangers.user(super::plane::FRONT_PROXY, None);
    let another_name = site.plane.authorities.front_proxy.user("somebody-else", None);
    let not_for_clients = site.plane.authorities.front_proxy.server(&[super::plane::FRONT_PROXY]);
    for pair in [stranger, another_name, not_for_clients] {
        site.backend.ask(&pair.identity(), forged()).await.fails(
            401,
            "Unauthorized",
            "Unauthorized",
        );
    }
    site.backend.ask(&front_proxy(&site.plane).identity(), forged()).await.is(200);
}

#[tokio::test]
async fn a_refused_proxy_is_logged_once_with_what_is_wrong() {
    let site = shared().await;
    let pair = site.plane.authorities.front_proxy.user("logged-once", None);
    for _ in 0..3 {
        site.backend.ask(&pair.identity(), forged()).await.is(401);
    }
    let log = site.backend.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("logged-once")).collect();
    assert_eq!(lines.len(), 1, "{}", lines.join("\n"));
    for told in ["front-proxy-ca", super::plane::FRONT_PROXY] {
        assert!(lines[0].contains(told), "{} is not logged: {}", told, lines[0]);
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused_in_the_handshake() {
    let site = shared().await;
    let pair = front_proxy(&site.plane);
    let own = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("the key is PEM");
    let another = PrivateKeyDer::from_pem_slice(pki::key().serialize_pem().as_bytes())
        .expect("the key is PEM");
    let authority = site.backend.authority().expect("the authority is known");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let greet = |key: &PrivateKeyDer<'static>| {
            let config = with_key(&authority, &pair.certificate, key, version);
            status_line(site.backend.address(), config)
        };
        assert_eq!(
            greet(&own).await.expect("the key belongs to the certificate"),
            "HTTP/1.1 200 OK"
        );
        let refused =
            greet(&another).await.expect_err("the key does not belong to the certificate");
        assert!(refused.to_string().contains("received fatal alert"), "{refused}");
    }
}

/// A client configuration with a certificate and a key that need not belong together.
fn with_key(
    authority: &str,
    certificate: &str,
    key: &PrivateKeyDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for each in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots
            .add(each.expect("the authority is PEM"))
            .expect("the authority is a valid certificate");
    }
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>();
    let signer = aws_lc_rs::sign::any_supported_type(key).expect("the key is supported");
    let shown = CertifiedKey::new(chain.expect("the certificate is PEM"), signer);
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("the provider supports the TLS version")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
}

/// Sends a discovery request on a new connection and returns the status line.
async fn status_line(address: SocketAddr, config: ClientConfig) -> io::Result<String> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    let user = "X-Remote-User: admin\r\nX-Remote-Group: system:masters";
    stream
        .write_all(format!("GET {V1} HTTP/1.1\r\nHost: {address}\r\n{user}\r\n\r\n").as_bytes())
        .await?;
    let mut line = [0; 15];
    stream.read_exact(&mut line).await?;
    str::from_utf8(&line).map(str::to_owned).map_err(io::Error::other)
}

#[tokio::test]
async fn the_aggregator_reads_discovery_and_openapi_without_any_group() {
    let site = shared().await;
    let proxy = front_proxy(&site.plane).identity();
    for user in ["system:aggregator", "system:kube-aggregator"] {
        for path in [V1, "/apis", "/apis/image.openshift.io", "/openapi/v2", "/openapi/v3"] {
            site.backend.ask(&proxy, on_behalf(user, &[], "GET", path)).await.is(200);
        }
    }
    for path in [V1, "/apis", "/openapi/v2", "/openapi/v3"] {
        let message = format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"");
        site.backend.ask(&anonymous(), Request::new("GET", path)).await.fails(
            403,
            "Forbidden",
            &message,
        );
    }
}

#[tokio::test]
async fn a_token_that_kube_apiserver_does_not_know_is_refused() {
    let site = shared().await;
    let good = token(&site.plane, SERVER, SERVER).await;
    let (head, signature) = good.rsplit_once('.').expect("a token has a signature");
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in [forged.as_str(), "made-up"] {
        let answer = site.backend.ask(&Identity::token(token), Request::new("GET", &image())).await;
        answer.fails(401, "Unauthorized", "Unauthorized");
    }
    let log = site.backend.log();
    assert!(
        !log.contains(&good) && !log.contains(&forged) && !log.contains("made-up"),
        "a token is in the log"
    );
}

#[tokio::test]
async fn a_token_may_come_as_a_sub_protocol_of_a_web_socket() {
    let site = shared().await;
    site.plane.apply(&[objects::service_account(SHOP, "browser")]);
    site.plane
        .grant(SHOP, &service_account(SHOP, "browser"), &["get"], &["imagestreamimages"])
        .await;
    let token = BASE64_URL_SAFE_NO_PAD.encode(token(&site.plane, SHOP, "browser").await);
    let ask = |token: &str| {
        let protocols =
            format!("base64url.bearer.authorization.k8s.io.{token}, base64.binary.k8s.io");
        let request = Request::new("GET", &path(SHOP, "imagestreamimages/nosuch@x"));
        let request = request.header("connection", "Upgrade").header("upgrade", "websocket");
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.header("sec-websocket-version", "13").header("sec-websocket-protocol", &protocols)
    };
    site.backend.ask(&anonymous(), ask(&token)).await.is(404);
    site.backend.ask(&anonymous(), ask("bWFkZS11cA")).await.is(401);
}
