//! HTTP/2 errors as in Go's server: an error of one stream ends that stream and affects no other.

pub(crate) mod raw;

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use self::raw::{Body, Raw, Response, fields, literals};
use crate::fixtures::stream;
use crate::harness::{Api, Expect, STREAMS};

/// The error code that clients take for a broken connection.
const PROTOCOL_ERROR: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(60);

/// A watch on the connection under test. It must survive errors of other streams.
struct Watch {
    stream: u32,
}

impl Watch {
    async fn open(raw: &mut Raw) -> Self {
        let stream =
            raw.request(&fields("GET", &format!("{STREAMS}?watch=true")), Body::None).await;
        assert_eq!(raw.status(stream).await, 200);
        Self { stream }
    }

    /// Panics unless the watch receives the event of a new stream.
    async fn goes_on(&self, api: &Api, raw: &mut Raw, name: &str) {
        api.post(STREAMS, &stream(name)).await.is(201);
        let event =
            timeout(DEADLINE, raw.part(self.stream)).await.expect("the watch has a next event");
        let event: Value = serde_json::from_slice(&event).expect("an event is JSON");
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&"ADDED".into(), &name.into())
        );
        let faults = raw.resets.iter().filter(|(_, code)| *code == PROTOCOL_ERROR);
        assert_eq!(faults.count(), 0, "{:?}", raw.resets);
    }
}

/// The fields of a request, with some of them replaced or added.
fn with(changes: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let mut all = fields("GET", STREAMS);
    for &(name, value) in changes {
        all.retain(|(given, _)| given != name);
        // Pseudo-header fields come first.
        let at = if name.starts_with(':') { 0 } else { all.len() };
        all.insert(at, (name.to_owned(), value.to_vec()));
    }
    all
}

#[tokio::test]
async fn malformed_requests_are_answered_on_their_stream() {
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let watch = Watch::open(&mut raw).await;
    let path = |query: &[u8]| [b"/apis/image.openshift.io/v1?x=", query].concat();
    let mut without_path = with(&[]);
    without_path.retain(|(name, _)| name != ":path");
    let mut late = with(&[]);
    late.push((":method".into(), b"GET".to_vec()));
    let mut cases = vec![
        (with(&[("te", b"gzip")]), 400),
        (with(&[("connection", b"close")]), 400),
        (with(&[("content-length", b"7")]), 400),
        (with(&[("content-length", b"seven")]), 400),
        (with(&[(":authority", b"a b")]), 400),
        (with(&[(":scheme", b"h ttps")]), 400),
        (with(&[(":path", b"")]), 400),
        (without_path, 400),
        (late, 400),
        (with(&[(":path", &path(&[b'x'; 66_000]))]), 414),
        (with(&[(":path", &path(&[b'x'; 800_000]))]), 414),
        (with(&[("x-large", &[b'x'; 1_100_000])]), 431),
    ];
    cases.extend([b"<", b">", b" ", b"\x7f"].map(|query| (with(&[(":path", &path(query))]), 400)));
    cases.push((with(&[(":path", b"/apis/`")]), 400));
    for (number, (fields, status)) in cases.into_iter().enumerate() {
        let stream = raw.request(&fields, Body::None).await;
        let response = timeout(DEADLINE, raw.response(stream)).await.expect("the server responds");
        assert_eq!(
            response,
            Response { status, body: vec![], ended_with_headers: true },
            "case {number}"
        );
    }
    watch.goes_on(&api, &mut raw, "after").await;
}

#[tokio::test]
async fn header_names_that_are_too_long_end_their_stream_only() {
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let watch = Watch::open(&mut raw).await;
    for (length, status) in [(65_535, 200), (65_536, 431), (70_000, 431), (1_000_000, 431)] {
        for after in [0, 5, 20_000] {
            let (name, value) = ("n".repeat(length), vec![b'v'; after]);
            let fields = with(&[(&name, &value), ("x-after", &value)]);
            let stream = raw.request(&fields, Body::None).await;
            let response =
                timeout(DEADLINE, raw.response(stream)).await.expect("the server responds");
            assert_eq!(response.status, status, "{length}");
            watch.goes_on(&api, &mut raw, &format!("after-{length}-{after}")).await;
        }
    }
    // 65,536 times `a` in Huffman code at five bits each: 40,960 bytes.
    let mut block = literals(&with(&[]));
    block.extend([0, 0xff, 0x81, 0xbf, 0x02]);
    block.extend([0x18, 0xc6, 0x31, 0x8c, 0x63].repeat(65_536 / 8));
    block.extend(b"\x05value");
    let coded = raw.request(&fields("GET", STREAMS), Body::None).await + 2;
    raw.block(coded, &block, Body::None).await;
    assert_eq!(raw.response(coded).await.status, 431);
    watch.goes_on(&api, &mut raw, "after-code").await;
    // A large trailer field. Trailers are ignored.
    let post = with(&[(":method", b"POST"), ("content-type", b"application/json")]);
    let stream = raw.request(&post, Body::Follows).await;
    raw.data(stream, b"{}", Body::Follows).await;
    raw.block(stream, &literals(&[("n".repeat(70_000), b"value".to_vec())]), Body::None).await;
    assert_eq!(raw.response(stream).await.status, 422);
    watch.goes_on(&api, &mut raw, "after-trailers").await;
    // A large header field of a request with a body.
    let name = "n".repeat(70_000);
    let post = with(&[(":method", b"POST"), (&name, b""), ("content-length", b"2")]);
    let stream = raw.request(&post, Body::Follows).await;
    raw.data(stream, b"{}", Body::None).await;
    assert_eq!(raw.response(stream).await.status, 431);
    watch.goes_on(&api, &mut raw, "after").await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_is_answered() {
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let watch = Watch::open(&mut raw).await;
    let post = with(&[
        (":method", b"POST"),
        ("content-type", b"application/json"),
        ("content-length", b"5"),
    ]);
    for body in ["{}", "{\"much\": \"longer\"}"] {
        let stream = raw.request(&post, Body::Follows).await;
        raw.data(stream, body.as_bytes(), Body::None).await;
        assert_eq!(raw.response(stream).await.status, 400, "{body}");
    }
    watch.goes_on(&api, &mut raw, "after").await;
}

#[tokio::test]
async fn connect_with_a_body_ends_its_own_stream_only() {
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let watch = Watch::open(&mut raw).await;
    let fields = [(":method", "CONNECT"), (":authority", "a:1"), ("content-length", "5")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    for _ in 0..3 {
        let stream = raw.request(&fields, Body::Follows).await;
        raw.data(stream, b"12345", Body::None).await;
    }
    watch.goes_on(&api, &mut raw, "after").await;
    let resets: Vec<u32> = raw.resets.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(resets, [3, 5, 7]);
}

#[tokio::test]
async fn urls_of_sixty_kilobytes_work_and_longer_ones_are_414() {
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let at = format!("/apis/image.openshift.io/v1/{STREAMS}?x=");
    for (length, status) in [(60 << 10, 200), ((60 << 10) + 1, 414), (65_534, 414)] {
        let path = format!("{at}{}", "x".repeat(length - at.len()));
        let stream = raw.request(&with(&[(":path", path.as_bytes())]), Body::None).await;
        let response = raw.response(stream).await;
        assert_eq!(response.status, status, "{length}");
        let body: Value = serde_json::from_slice(&response.body).expect("the response has a body");
        assert_eq!(body["code"], if status == 200 { Value::Null } else { status.into() });
        let request = crate::support::client::Request::new("GET", &path);
        assert_eq!(api.ask(request).await.status, status, "{length} on HTTP/1.1");
    }
    let path = format!("{at}{}", "x".repeat(65_536 - at.len()));
    let request = crate::support::client::Request::new("GET", &path);
    let answer = api.client.send_unchecked(request).await.expect("a response");
    assert_eq!((answer.status, answer.body), (414, vec![]));
}

#[tokio::test]
async fn cancelled_requests_end_nothing() {
    // Hundreds of resets must not close the connection.
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let watch = Watch::open(&mut raw).await;
    for round in 0..3 {
        raw.request_and_reset(&fields("GET", STREAMS), 600).await;
        watch.goes_on(&api, &mut raw, &format!("round-{round}")).await;
    }
}

#[tokio::test]
async fn bodies_that_are_sent_on_after_the_response_end_nothing() {
    // DATA frames after an early response must not close the connection.
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    let watch = Watch::open(&mut raw).await;
    let mut refused = with(&[(":method", b"POST"), ("content-length", b"5000")]);
    refused.retain(|(name, _)| name != "authorization");
    for _ in 0..1_200 {
        let stream = raw.request(&refused, Body::Follows).await;
        assert_eq!(raw.response(stream).await.status, 401);
        for _ in 0..2 {
            raw.data(stream, &[b' '; 1000], Body::Follows).await;
        }
    }
    watch.goes_on(&api, &mut raw, "after").await;
}

#[tokio::test]
async fn a_response_to_head_has_no_body_on_http_2() {
    let api = Api::start().await;
    let mut raw = Raw::open(&api).await;
    for (path, status) in [
        ("images", 405),
        ("images/a", 405),
        (STREAMS, 405),
        ("namespaces/ns/imagestreams/s", 405),
        ("namespaces/ns/imagestreamimages/s@sha256:1", 405),
        ("namespaces/ns/imagestreamimages", 404),
        ("namespaces/ns/imagestreamtags/s:1", 405),
        ("nothing", 404),
    ] {
        let stream = raw.request(&fields("HEAD", path), Body::None).await;
        assert_eq!(
            raw.response(stream).await,
            Response { status, body: vec![], ended_with_headers: true },
            "{path}"
        );
    }
}
