//! Rules for every request: errors are a `Status`, audit IDs, deadlines, limits, and the protocols
//! of the port.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, crypto::aws_lc_rs, version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixtures::{digest, image};
use crate::harness::{Api, Expect, TestServer, request};
use crate::support::client::{Identity, Request};

/// The body limit in bytes.
const MOST: usize = 3 << 20;

#[tokio::test]
async fn every_error_is_a_status_whatever_the_path_and_method() {
    let api = Api::start().await;
    let json = |method: &str, path: &str, body: &str| {
        let mut request = request(method, path).header("content-type", "application/json");
        request.body = Some(body.as_bytes().to_vec());
        request
    };
    let at = Request::new;
    let plain = request("POST", "images").header("content-type", "text/plain");
    let cases = [
        (at("GET", "/"), 404),
        (at("GET", "/nowhere"), 404),
        (at("POST", "/nowhere"), 404),
        (at("OPTIONS", "/nowhere"), 404),
        (at("GET", "/apis/other"), 404),
        (at("GET", "/apis/image.openshift.io/v2"), 404),
        (request("GET", "nothing"), 404),
        (request("GET", "namespaces/ns//imagestreams"), 404),
        (request("GET", "images/a/b"), 404),
        (request("GET", "images/%zz"), 400),
        (at("POST", "/apis"), 405),
        (at("DELETE", "/version"), 405),
        (at("OPTIONS", "/apis/image.openshift.io/v1"), 405),
        (request("PUT", "images"), 405),
        (request("PATCH", "images"), 405),
        (request("OPTIONS", "images"), 405),
        (request("BREW", "images"), 405),
        (request("GET", "images").header("accept", "text/html"), 406),
        (
            request("GET", "images").header(
                "accept",
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
            ),
            406,
        ),
        (at("GET", "/apis").header("accept", "text/html"), 406),
        (plain.clone(), 415),
        (request("PATCH", "images/a").header("accept", "text/html"), 415),
        (Request { body: Some(vec![b' '; MOST + 1]), ..plain }, 413),
        (json("POST", "images", ""), 400),
        (json("POST", "images", "{"), 400),
        (json("POST", "images", "[]"), 400),
        (json("POST", "images", r#"{"kind":"Pod","apiVersion":"v1"}"#), 400),
        (json("POST", "images", r#"{"metadata":{"name":7}}"#), 400),
    ];
    for (request, code) in cases {
        let line = format!("{} {} {:?}", request.method, request.target, request.headers);
        let answer = api.ask(request).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (code, Some("application/json")),
            "{line}"
        );
        assert_eq!(
            (answer.header("cache-control"), answer.header("allow")),
            (Some("no-store"), None),
            "{line}"
        );
        assert_eq!(answer.is(code)["status"], "Failure", "{line}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let api = Api::start().await;
    for (path, code) in
        [("/nowhere", 404), ("/apis", 405), ("/apis/image.openshift.io/v1/images", 405)]
    {
        assert_eq!(api.ask(Request::new("HEAD", path)).await.status, code, "{path}");
    }
}

#[tokio::test]
async fn http_1_1_needs_one_host_and_http_1_0_none() {
    let api = Api::start().await;
    for (head, line) in [
        ("GET /livez HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK"),
        ("GET /livez HTTP/1.0\r\n", "HTTP/1.0 200 OK"),
        ("GET /livez HTTP/1.1\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET /livez HTTP/1.1\r\nHost: a/b\r\n", "HTTP/1.1 400 Bad Request"),
    ] {
        let mut stream = api.client.open(&["http/1.1"]).await.expect("the handshake succeeds");
        let request = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the server responds");
        assert_eq!(answer.lines().next(), Some(line), "{head}");
        assert_eq!(answer.contains("\"kind\":\"Status\""), line.contains("400"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_on_the_way_is_refused() {
    // A chunked body announces no length, so the limit applies while it is read.
    let api = Api::start().await;
    let mut chunked = request("POST", "images").header("content-type", "application/json");
    chunked.headers.push(("transfer-encoding".into(), "chunked".into()));
    chunked.body = Some(
        [format!("{:x}\r\n", MOST + 1).as_bytes(), &vec![b' '; MOST + 1], b"\r\n0\r\n\r\n"]
            .concat(),
    );
    let message = format!("Request entity too large: limit is {MOST}");
    api.ask(chunked).await.fails(413, "RequestEntityTooLarge", &message);
}

#[tokio::test]
async fn a_request_keeps_its_audit_id_or_gets_one() {
    let api = Api::start().await;
    for path in ["/nowhere", "/readyz", "/apis/image.openshift.io/v1/images"] {
        let named = api.ask(Request::new("GET", path).header("audit-id", "my-id")).await;
        assert_eq!(named.header("audit-id"), Some("my-id"), "{path}");
        for odd in ["", "my id", &"x".repeat(65)] {
            let replaced = api.ask(Request::new("GET", path).header("audit-id", odd)).await;
            assert_eq!(replaced.header("audit-id").map(str::len), Some(36), "{path} {odd}");
        }
        let (one, two) =
            (api.ask(Request::new("GET", path)).await, api.ask(Request::new("GET", path)).await);
        assert_eq!(one.header("audit-id").map(str::len), Some(36), "{path}");
        assert_ne!(one.header("audit-id"), two.header("audit-id"), "{path}");
    }
}

#[tokio::test]
async fn invalid_timeout_is_refused_before_authentication() {
    let api = Api::start().await;
    let nobody = api.server.client(Identity::default());
    let asked = nobody.send(request("GET", "images?timeout=soon")).await.expect("a response");
    let message = "invalid timeout specified in the request URL - time: invalid duration \"soon\"";
    asked.fails(400, "BadRequest", message);
    api.get("images?timeout=10s").await.is(200);
    api.get("images?timeout=").await.is(200);
}

#[tokio::test]
async fn request_past_its_deadline_gets_a_response() {
    let api = Api::start().await;
    let slow = request("POST", "images?timeout=100ms").json(&image("a"));
    let answer = api
        .client
        .begin(slow)
        .await
        .expect("the request can be started")
        .answer()
        .await
        .expect("a response");
    assert_eq!(answer.broken_promises(), [""; 0]);
    assert_eq!(answer.is(504)["reason"], "Timeout");
    let answer = api.get("images/a").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_want_it() {
    let api = Api::start().await;
    let mut large = image("large");
    large["metadata"]["annotations"] = json!({"text": "x".repeat(200 << 10)});
    api.post("images", &large).await.is(201);
    let plain = api.get("images/large").await;
    let packed = api.ask(request("GET", "images/large").header("accept-encoding", "gzip")).await;
    assert_eq!(
        (plain.header("content-encoding"), packed.header("content-encoding")),
        (None, Some("gzip"))
    );
    assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
    let mut text = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut text)
        .expect("the response is compressed");
    assert_eq!(text, plain.body);
}

#[tokio::test]
async fn yaml_is_read_as_json_is() {
    let api = Api::start().await;
    let mut yaml = request("POST", "images").header("content-type", "application/yaml");
    let name = digest("1");
    yaml.body = Some(
        format!("kind: Image\nmetadata:\n  name: {name}\ndockerImageReference: a/b\n").into_bytes(),
    );
    let made = api.ask(yaml.header("accept", "application/yaml")).await;
    assert_eq!((made.status, made.header("content-type")), (201, Some("application/yaml")));
    assert_eq!(api.get("images").await.is(200)["items"][0]["dockerImageReference"], "a/b");
}

#[tokio::test]
async fn errors_come_as_yaml_and_indented_too() {
    let api = Api::start().await;
    let yaml = api.get_as("images/a", "application/yaml").await;
    assert_eq!((yaml.status, yaml.header("content-type")), (404, Some("application/yaml")));
    let status: Value =
        serde_saphyr::from_str(std::str::from_utf8(&yaml.body).expect("YAML is text"))
            .expect("the body is YAML");
    assert_eq!(status, api.get("images/a").await.is(404));
    for asked in [
        request("GET", "images/a?pretty=1"),
        request("GET", "images/a").header("user-agent", "curl/8.0"),
    ] {
        assert!(api.ask(asked).await.body.starts_with(b"{\n  \"kind\": \"Status\",\n"));
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests_by_either_protocol() {
    let api = Api::start().await;
    let requests = || {
        (0..20)
            .map(|number| request("POST", "images").json(&image(&format!("i{number}"))))
            .collect()
    };
    let in_turn =
        api.client.send_in_turn(requests()).await.expect("the HTTP/1.1 handshake succeeds");
    assert!(in_turn.iter().all(|answer| answer.status == 201));
    let together =
        api.client.send_together(requests()).await.expect("the HTTP/2 handshake succeeds");
    assert!(
        together.iter().all(|answer| answer.status == 409 && answer.broken_promises().is_empty())
    );
}

#[tokio::test]
async fn the_client_chooses_the_protocol() {
    let api = Api::start().await;
    let offers: [(&[&str], Option<&str>); 3] =
        [(&["h2", "http/1.1"], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)];
    for (offer, chosen) in offers {
        let stream = api.client.open(offer).await.expect("the handshake succeeds");
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
    }
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let api = Api::start().await;
    let ca = std::fs::read(api.server.folder().join("certs/apiserver.crt"))
        .expect("the certificate can be read");
    for (spoken, number) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut roots = RootCertStore::empty();
        for each in CertificateDer::pem_slice_iter(&ca) {
            roots.add(each.expect("the file is PEM")).expect("the file is a certificate");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[spoken])
            .expect("the provider supports the version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(api.server.address()).await.expect("the port is open");
        let name = ServerName::IpAddress(api.server.address().ip().into());
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
            .expect("the handshake succeeds");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(number));
    }
}

/// A ClientHello whose highest version is TLS 1.1 (`minor` is 2) or TLS 1.2 (`minor` is 3).
fn greeting(minor: u8) -> Vec<u8> {
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13];
    let (curves, points, signatures) =
        ([0, 10, 0, 4, 0, 2, 0, 23], [0, 11, 0, 2, 1, 0], [0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
    let extensions = [&curves[..], &points, &signatures].concat();
    let random = [7; 32];
    let sizes = (suites.len() as u8, extensions.len() as u8);
    let hello =
        [&[3, minor][..], &random, &[0, 0, sizes.0], &suites, &[1, 0, 0, sizes.1], &extensions]
            .concat();
    let size = hello.len() as u8;
    [&[0x16, 3, 1, 0, size + 4, 1, 0, 0, size], &hello[..]].concat()
}

#[tokio::test]
async fn tls_1_1_is_refused_with_the_alert_that_says_so() {
    let api = Api::start().await;
    let handshake = [0x16, 3, 3];
    let protocol_version = [0x15, 3, 3, 0, 2, 2, 70];
    for (minor, wanted) in [(3, &handshake[..]), (2, &protocol_version)] {
        let mut socket = TcpStream::connect(api.server.address()).await.expect("the port is open");
        socket.write_all(&greeting(minor)).await.expect("the ClientHello is sent");
        let mut answer = vec![0; wanted.len()];
        socket.read_exact(&mut answer).await.expect("the server responds");
        assert_eq!(answer, wanted, "TLS 1.{}", minor - 1);
    }
}

#[tokio::test]
async fn headers_have_a_limit() {
    let api = Api::start().await;
    let fits = request("GET", "images").header("x-large", &"x".repeat(60 << 10));
    api.ask(fits).await.is(200);
    for size in [70 << 10, 2 << 20] {
        let large = request("GET", "images").header("x-large", &"x".repeat(size));
        let answer = api.client.send_unchecked(large).await.expect("a response");
        assert_eq!(answer.status, 431);
    }
}
