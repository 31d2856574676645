//! Requests that are cheap to send and expensive to process: rejected in time, with bounded memory.

use std::time::{Duration, Instant};

use super::resident;
use crate::harness::{Api, Expect, ProcessApi, request};
use crate::support::client::Request;

/// The maximum duration of such a request, in a test build on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);
/// The maximum growth of the server's memory in bytes.
const GROWTH: usize = 160 << 20;
/// A body size just below the limit, in bytes.
const ALMOST: usize = (3 << 20) - 1024;

fn body(kind: &str, text: String) -> Request {
    let mut request = request("POST", "images").header("content-type", kind);
    request.body = Some(text.into_bytes());
    request
}

/// Returns lists of references to lists of references: a few lines that expand to billions of
/// items.
fn yaml_of_references() -> String {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(",")));
    }
    text
}

/// An image with as many empty layers as the body limit allows, at two bytes each.
fn protobuf_body() -> Request {
    let image = [0x32, 0].repeat(ALMOST / 2 - 100);
    let mut object = b"k8s\0".to_vec();
    let kind = b"\x0a\x1e\x0a\x15image.openshift.io/v1\x12\x05Image";
    object.extend_from_slice(kind);
    object.push(0x12);
    let mut length = image.len();
    while length >= 0x80 {
        object.push(length as u8 | 0x80);
        length >>= 7;
    }
    object.push(length as u8);
    object.extend_from_slice(&image);
    let mut request =
        request("POST", "images").header("content-type", "application/vnd.kubernetes.protobuf");
    request.body = Some(object);
    request
}

#[tokio::test]
async fn bodies_that_unfold_are_refused() {
    // Compact bodies that expand to a multiple of their size.
    let api = ProcessApi::start().await;
    let before = resident(&api);
    let cases = [
        ("references", 400, body("application/yaml", yaml_of_references())),
        (
            "deep",
            413,
            body(
                "application/json",
                format!("{}{}", "[".repeat(ALMOST / 2), "]".repeat(ALMOST / 2)),
            ),
        ),
        ("open", 413, body("application/json", "{\"a\":".repeat(ALMOST / 5))),
        ("deep in YAML", 400, body("application/yaml", "[".repeat(100_000))),
        ("wide", 413, body("application/json", format!("[{}0]", "[],".repeat(ALMOST / 3)))),
        (
            "packed",
            400,
            body("application/json", "\u{1f}\u{8b}".to_owned()).header("content-encoding", "gzip"),
        ),
        ("wide in protobuf", 413, protobuf_body()),
    ];
    for (name, code, request) in cases {
        let start = Instant::now();
        let answer = api.ask(request).await;
        assert_eq!(answer.status, code, "{name}: {}", String::from_utf8_lossy(&answer.body));
        assert!(start.elapsed() < PROMPT, "{name} takes {:?}", start.elapsed());
        let grown = resident(&api).saturating_sub(before);
        assert!(grown < GROWTH, "{name} costs {grown} bytes");
    }
}

#[tokio::test]
async fn a_body_is_refused_by_the_length_that_it_announces() {
    // The server rejects an oversized `Content-Length` without reading the body.
    let api = Api::start().await;
    let huge = request("POST", "images").header("content-length", &(1_u64 << 40).to_string());
    let huge = huge.header("expect", "100-continue");
    let answer = api.client.send_unchecked(huge).await.expect("a response");
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn header_lines_and_addresses_have_a_limit() {
    let api = Api::start().await;
    let mut lines = request("GET", "images");
    lines.headers.extend((0..600).map(|number| (format!("x-line-{number}"), "x".to_owned())));
    let long = |length| request("GET", &format!("images?labelSelector={}", "a".repeat(length)));
    for (name, request, code) in
        [("lines", lines, 431), ("address", long(80 << 10), 414), ("huge", long(2 << 20), 431)]
    {
        let answer = api.client.send_unchecked(request).await.expect("a response");
        assert_eq!(answer.status, code, "{name}");
    }
}

#[tokio::test]
async fn an_address_of_many_parts_is_read_in_good_time() {
    let api = Api::start().await;
    let selector: Vec<String> = (0..6000).map(|number| format!("k{number}=v")).collect();
    let parameters: Vec<String> = (0..6000).map(|number| format!("p{number}=v")).collect();
    for query in [
        format!("labelSelector={}", selector.join(",")),
        parameters.join("&"),
        "%25".repeat(20_000),
    ] {
        let start = Instant::now();
        api.get(&format!("images?{query}")).await.is(200);
        assert!(start.elapsed() < PROMPT, "{:.20}… takes {:?}", query, start.elapsed());
    }
}
