//! Clients that read slowly or not at all.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{peak, resident};
use crate::fixtures::image;
use crate::harness::{Api, ApiOf, Expect, ProcessApi, TestServer, V1, eventually, request};
use crate::support::client::Request;

/// The number of images in the large list.
const IMAGES: usize = 56;
/// The size of the annotations of each image in bytes, just below their limit.
const ANNOTATIONS: usize = 250 << 10;
/// The memory budget of the server, in bytes.
const MEMORY: usize = 64 << 20;
/// The number of lists that one user requests at once; they do not all fit into the share of a user.
const READERS: usize = 64;
/// The maximum growth besides the budget, in bytes.
const BESIDES: usize = 64 << 20;

/// Starts a server with a list that is far larger than the socket buffers.
async fn with_large_list<S: TestServer>(flags: &[&str]) -> ApiOf<S> {
    let api = ApiOf::with(flags).await;
    for number in 0..IMAGES {
        let mut large = image(&format!("i{number}"));
        large["metadata"]["annotations"] = json!({"text": "x".repeat(ANNOTATIONS)});
        api.post("images", &large).await.is(201);
    }
    api
}

/// Requests the large list as alice, or a watch that starts with it, and reads only the status
/// line. The connection stays open until the result is dropped.
async fn ask_by_http1<S: TestServer>(api: &ApiOf<S>, path: &str) -> impl Drop + use<S> {
    let mut stream = api.client.open(&["http/1.1"]).await.expect("the port is open");
    let head = format!(
        "GET {V1}/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token-of-alice\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the request is sent");
    stream.flush().await.expect("the request is sent");
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.expect("a response");
    assert_eq!(&start, b"HTTP/1.1 200");
    Kept(Box::new(stream))
}

/// Sends the same request over HTTP/2. The connection keeps answering pings.
async fn ask_by_http2<S: TestServer>(api: &ApiOf<S>, path: &str) -> impl Drop + use<S> {
    let stream = TokioIo::new(api.client.open(&["h2"]).await.expect("the port is open"));
    let handshake = http2::handshake(TokioExecutor::new(), stream).await;
    let (mut sender, connection) = handshake.expect("the HTTP/2 handshake succeeds");
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("https://localhost{V1}/{path}"));
    let request =
        request.header("authorization", "Bearer token-of-alice").body(Empty::<bytes::Bytes>::new());
    let answer =
        sender.send_request(request.expect("the request is valid")).await.expect("a response");
    Kept(Box::new((answer, sender, connection)))
}

/// Values that must stay alive until the end of a test.
struct Kept(#[expect(dead_code, reason = "it is kept, not used")] Box<dyn Send>);

impl Drop for Kept {
    fn drop(&mut self) {}
}

/// Returns true if a request of alice waits for a place in vain.
async fn is_turned_away(api: &Api) -> bool {
    let read = request("GET", "images?limit=1&timeout=1s");
    [429, 504].contains(&api.server.alice().send(read).await.expect("a response").status)
}

#[tokio::test]
async fn a_reader_that_takes_too_long_loses_its_place() {
    let api: Api = with_large_list(&["--max-requests-inflight=8", "--request-timeout=3s"]).await;
    let (first, second) = (ask_by_http1(&api, "images").await, ask_by_http2(&api, "images").await);
    eventually("both slots are taken", || async { is_turned_away(&api).await }).await;
    eventually("the slots are free", || async { !is_turned_away(&api).await }).await;
    drop((first, second));
}

#[tokio::test]
async fn a_reader_that_goes_away_frees_its_place_at_once() {
    let api: Api = with_large_list(&["--max-requests-inflight=8", "--request-timeout=1h"]).await;
    let (first, second) = (ask_by_http1(&api, "images").await, ask_by_http2(&api, "images").await);
    eventually("both slots are taken", || async { is_turned_away(&api).await }).await;
    drop(first);
    eventually("the slot of the HTTP/1.1 request is free", || async {
        !is_turned_away(&api).await
    })
    .await;
    let third = ask_by_http1(&api, "images").await;
    eventually("both slots are taken", || async { is_turned_away(&api).await }).await;
    drop(second);
    eventually("the slot of the HTTP/2 request is free", || async { !is_turned_away(&api).await })
        .await;
    drop(third);
}

#[tokio::test]
async fn slow_readers_of_long_lists_share_a_bounded_memory() {
    let flags = ["--memory-budget=64Mi", "--max-requests-inflight=1000", "--request-timeout=1h"];
    let api: ProcessApi = with_large_list(&flags).await;
    let alice = api.server.alice();
    let before = resident(&api);
    let ask = || async {
        let mut stream = alice.open(&["http/1.1"]).await.expect("the port is open");
        let head = format!(
            "GET {V1}/images HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token-of-alice\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("the request is sent");
        stream.flush().await.expect("the request is sent");
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.expect("a response");
        (stream, start.ends_with(b"429"))
    };
    let readers = join_all((0..READERS).map(|_| ask())).await;
    let refused = readers.iter().filter(|(_, is_refused)| *is_refused).count();
    assert!(refused > 0 && refused < READERS, "{refused} of {READERS} are refused");
    // Others have memory of their own.
    api.get("images").await.is(200);
    let grown = peak(&api).saturating_sub(before);
    assert!(grown < MEMORY + BESIDES, "{grown} bytes for {READERS} readers");
    drop(readers);
    eventually("the memory is free", || async {
        alice.send(request("GET", "images")).await.expect("a response").status == 200
    })
    .await;
}

const WATCH: &str = "images?watch=true";

/// Opens watches that read no events.
async fn stuck_watchers(api: &Api) -> impl Sized + use<> {
    (ask_by_http1(api, WATCH).await, ask_by_http2(api, WATCH).await)
}

#[tokio::test]
async fn a_watcher_that_takes_nothing_loses_its_place() {
    let mut api: Api = with_large_list(&["--max-watches=16", "--request-timeout=3s"]).await;
    let now = api.get("images?limit=1").await.is(200);
    let from = now["metadata"]["resourceVersion"].as_str().expect("a version");
    api.client = api.server.alice();
    let watching =
        api.client.watch(request("GET", &format!("{WATCH}&resourceVersion={from}"))).await;
    let stuck = stuck_watchers(&api).await;
    let may_watch = || async {
        api.get(&format!("{WATCH}&resourceVersion={from}&timeoutSeconds=1")).await.status
    };
    eventually("all slots are taken", || async { may_watch().await == 429 }).await;
    // A watch without events stays open: with two more like it, no slot would be free.
    eventually("the slots are free", || async { may_watch().await == 200 }).await;
    let watches = || async {
        let answer = api.ask(Request::new("GET", "/metrics")).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = text
            .lines()
            .find(|line| line.starts_with("apiserver_longrunning_requests{verb=\"WATCH\""));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    eventually("only the stalled watches are closed", || async {
        watches().await.as_deref() == Some("1")
    })
    .await;
    drop((watching, stuck));
}

#[tokio::test]
async fn watchers_that_take_nothing_do_not_hold_up_the_end() {
    let mut api: Api = with_large_list(&[]).await;
    let stuck = stuck_watchers(&api).await;
    let start = Instant::now();
    api.server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    drop(stuck);
}
