//! Shutdown: readiness fails first, requests in flight finish, and a second signal stops the
//! process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use crate::fixtures::image;
use crate::harness::{
    Expect, ProcessApi, TestServer, eventually, large_image, request, shows_memory_in_use,
};
use crate::support::client::Request;

async fn status(api: &ProcessApi, path: &str) -> Option<u16> {
    api.client.send(Request::new("GET", path)).await.ok().map(|answer| answer.status)
}

#[tokio::test]
async fn a_server_that_is_told_to_end_is_not_ready_but_serves() {
    let mut api = ProcessApi::with(&["--shutdown-delay-duration=600s"]).await;
    api.server.send_sigterm();
    eventually("the server is not ready", || async { status(&api, "/readyz").await == Some(500) })
        .await;
    assert_eq!(status(&api, "/livez").await, Some(200));
    assert_eq!(status(&api, "/readyz?exclude=shutdown").await, Some(200));
    api.post("images", &image("a")).await.is(201);
    api.get("images/a").await.is(200);

    let start = Instant::now();
    api.server.send_sigterm();
    let ended = api.server.wait().await;
    assert_eq!(ended.code(), Some(1), "a second signal stops the server at once");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn connections_end_with_a_response_during_the_delay() {
    let api = ProcessApi::with(&["--shutdown-delay-duration=600s"]).await;
    let mut kept = api.client.keep().await.expect("a connection");
    let mut multiplexed = api.client.multiplex().await.expect("a connection");
    let before = kept.send(request("GET", "images")).await.expect("a response");
    assert_eq!(before.header("connection"), None);
    api.server.send_sigterm();
    eventually("the server is not ready", || async { status(&api, "/readyz").await == Some(500) })
        .await;
    let last = kept.send(request("GET", "images")).await.expect("a response");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(kept.send(request("GET", "images")).await.is_err(), "the connection is closed");
    // HTTP/2 has GOAWAY instead, which follows after the delay.
    for _ in 0..2 {
        multiplexed.ready().await.expect("requests can be sent");
        let answer = multiplexed.send(request("GET", "images")).await.expect("a response");
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
}

#[tokio::test]
async fn a_server_ends_by_itself_after_the_delay() {
    let mut api = ProcessApi::with(&["--shutdown-delay-duration=300ms"]).await;
    let start = Instant::now();
    let ended = api.server.terminate().await;
    assert_eq!(ended.code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let mut api = ProcessApi::start().await;
    let begun = api
        .client
        .begin(request("POST", "images").json(&large_image("a")))
        .await
        .expect("the request can be started");
    let metrics = || async {
        String::from_utf8_lossy(&api.ask(Request::new("GET", "/metrics")).await.body).into_owned()
    };
    eventually("the body is expected", || async { shows_memory_in_use(&metrics().await) }).await;
    api.server.send_sigterm();
    eventually("the listener is closed", || async { status(&api, "/livez").await.is_none() }).await;
    begun.finish().await.expect("a response").is(201);
    assert_eq!(api.server.wait().await.code(), Some(0));
    api.server.restart().await;
    let again = api.server.admin().send(request("GET", "images/a")).await.expect("a response");
    assert_eq!(again.status, 200);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut api = ProcessApi::start().await;
    let fresh = api.client.open(&["http/1.1"]).await.expect("the port is open");
    let multiplexed = TokioIo::new(api.client.open(&["h2"]).await.expect("the port is open"));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), multiplexed)
        .await
        .expect("the HTTP/2 handshake succeeds");
    let connection = tokio::spawn(connection);
    let mut sender: http2::SendRequest<Empty<Bytes>> = sender;
    sender.ready().await.expect("requests can be sent");
    let start = Instant::now();
    api.server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    connection.await.expect("the client does not panic").expect("the server sends GOAWAY");
    drop(fresh);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end_for_ever() {
    let mut api = ProcessApi::with(&["--request-timeout=1s"]).await;
    let begun = api
        .client
        .begin(request("POST", "images").json(&image("a")))
        .await
        .expect("the request can be started");
    let ended = api.server.terminate().await;
    assert_eq!(ended.code(), Some(0));
    drop(begun);
}

#[tokio::test]
async fn a_silent_http2_client_does_not_hold_up_the_end() {
    let mut api = ProcessApi::start().await;
    let silent = api.client.open(&["h2"]).await.expect("the port is open");
    let mut greeted = api.client.open(&["h2"]).await.expect("the port is open");
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    greeted.write_all(greeting).await.expect("the preface is sent");
    let start = Instant::now();
    api.server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    drop((silent, greeted));
}

/// A log that cannot be written, here because its reader is gone, must not block the server.
#[tokio::test]
async fn a_server_whose_log_nobody_reads_goes_on_and_ends_when_told() {
    let mut api = ProcessApi::with(&["-v=4"]).await;
    api.server.stop_reading_the_log();
    for _ in 0..3 {
        api.get("images").await.is(200);
    }
    api.server.stop().await;
}
