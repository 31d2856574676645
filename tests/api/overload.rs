//! Overload: rejected requests, requests that are always served, and the cost of both.

mod bombs;
mod connections;
mod errors;
mod fairness;
mod large;
mod namespaces;
mod readers;
mod writers;

use std::fs;
use std::time::{Duration, Instant};

use crate::fixtures::image;
use crate::harness::{Api, Expect, ProcessApi, TestServer, eventually, request};
use crate::support::client::connection::Unread;
use crate::support::client::{Client, Request};

/// The labels of mutating requests of users.
const WRITES: &str = "priority_level=\"users\",limit=\"writes\"";

/// Returns the value of a metric of flow control; 0 without one.
async fn flow_control(server: &impl TestServer, name: &str, labels: &str) -> usize {
    let text = server.admin().send(Request::new("GET", "/metrics")).await.expect("a response").body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let start = format!("apiserver_flowcontrol_{name}{{{labels}");
    let line = text.lines().find(|line| line.starts_with(&start));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Returns the number of requests that have a place.
async fn executing(server: &impl TestServer, labels: &str) -> usize {
    flow_control(server, "current_executing_requests", labels).await
}

/// Returns the number of requests that wait for a place.
async fn waiting(server: &impl TestServer, labels: &str) -> usize {
    flow_control(server, "current_inqueue_requests", labels).await
}

/// Returns the resident memory of the server in bytes.
pub(crate) fn resident(api: &ProcessApi) -> usize {
    memory(api, "VmRSS:")
}

/// Returns a line of `/proc/PID/status` in bytes.
fn memory(api: &ProcessApi, line: &str) -> usize {
    let status =
        fs::read_to_string(format!("/proc/{}/status", api.server.id())).expect("the server runs");
    let line = status
        .lines()
        .find_map(|each| each.strip_prefix(line))
        .expect("the system reports the memory");
    let kilobytes: usize =
        line.trim().trim_end_matches(" kB").parse().expect("the memory is a number");
    kilobytes << 10
}

/// Returns the peak of the resident memory in bytes.
fn peak(api: &ProcessApi) -> usize {
    memory(api, "VmHWM:")
}

/// Starts a server on which each user has one place for mutating requests. That of alice is taken
/// by a request whose response is not read.
async fn full(flags: &[&str]) -> (Api, Unread) {
    let flags = [&["--max-mutating-requests-inflight=4"], flags].concat();
    let api = Api::with(&flags).await;
    let write = request("POST", "images").json(&image("unread"));
    let unread = api.server.alice().send_unread(vec![write]).await;
    let unread = unread.expect("the request can be sent");
    eventually("the place is taken", || async { executing(&api.server, WRITES).await == 1 }).await;
    (api, unread)
}

fn write(name: &str) -> Request {
    request("POST", "images").json(&image(name))
}

async fn send(client: &Client, request: Request) -> crate::support::client::Answer {
    client.send(request).await.expect("a response")
}

#[tokio::test]
async fn a_user_at_the_limit_waits_then_is_turned_away() {
    let (api, unread) = full(&["--request-timeout=12s"]).await;
    let start = Instant::now();
    let refused = send(&api.server.alice(), write("other")).await;
    refused.fails(429, "TooManyRequests", "Too many requests, please try again later.");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let waited = start.elapsed();
    assert!(waited > Duration::from_secs(2) && waited < Duration::from_secs(10), "{waited:?}");
    let rejected = flow_control(&api.server, "rejected_requests_total", WRITES).await;
    assert_eq!(rejected, 1);
    drop(unread);
    send(&api.server.alice(), write("other")).await.is(201);
}

#[tokio::test]
async fn a_waiting_request_gets_the_next_free_place() {
    let (api, unread) = full(&[]).await;
    let alice = api.server.alice();
    let second = tokio::spawn(async move { send(&alice, write("second")).await });
    eventually("the request waits", || async { waiting(&api.server, WRITES).await == 1 }).await;
    send(&api.server.bob(), write("of-bob")).await.is(201);
    send(&api.server.admin(), write("of-admin")).await.is(201);
    assert!(!second.is_finished());
    drop(unread);
    second.await.expect("the request does not panic").is(201);
    eventually("all places are free", || async { executing(&api.server, WRITES).await == 0 }).await;
}

#[tokio::test]
async fn requests_of_one_connection_wait_for_each_other() {
    // A place for each user, and as many requests at a time as clients send.
    let api = Api::with(&["--max-requests-inflight=4"]).await;
    let alice = api.server.alice();
    let reads = vec![request("GET", "images"); 256];
    let answers = alice.send_together(reads).await.expect("every request gets a response");
    for answer in answers {
        answer.is(200);
    }
}

#[tokio::test]
async fn what_must_always_answer_answers() {
    let (api, unread) = full(&["--max-requests-inflight=4"]).await;
    let alice = api.server.alice();
    let reads = alice.send_unread(vec![request("GET", "images"); 2]).await.expect("h2 works");
    let labels = "priority_level=\"users\",limit=\"reads\"";
    eventually("a read waits", || async { waiting(&api.server, labels).await == 1 }).await;
    let always = [
        "/livez",
        "/readyz",
        "/healthz",
        "/metrics",
        "/version",
        "/apis",
        "/apis/image.openshift.io/v1",
    ];
    for path in always {
        assert_eq!(send(&alice, Request::new("GET", path)).await.status, 200, "{path}");
    }
    drop((unread, reads));
}
