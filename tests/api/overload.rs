//! Overload: rejected requests, requests that are always served, and the cost of both.

mod bombs;
mod connections;
mod errors;
mod large;
mod namespaces;
mod readers;
mod writers;

use std::fs;
use std::time::{Duration, Instant};

use crate::fixtures::image;
use crate::harness::{Api, ApiOf, Expect, ProcessApi, TestServer, eventually, request};
use crate::support::client::{Request, connection::Begun};

async fn in_flight<S: TestServer>(api: &ApiOf<S>) -> usize {
    let text = api.ask(Request::new("GET", "/metrics")).await.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| {
        line.starts_with("apiserver_current_inflight") && line.contains("\"mutating\"")
    });
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
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

/// Starts a server whose only slot for mutating requests is taken.
async fn full() -> (Api, Begun) {
    let api = Api::with(&["--max-mutating-requests-inflight=1"]).await;
    let begun = api
        .client
        .begin(request("POST", "images").json(&image("slow")))
        .await
        .expect("the request can be started");
    eventually("the request is in flight", || async { in_flight(&api).await == 1 }).await;
    (api, begun)
}

#[tokio::test]
async fn a_request_too_many_is_turned_away_at_once() {
    let (api, begun) = full().await;
    let start = Instant::now();
    let refused = api.post("images", &image("other")).await;
    refused.fails(429, "TooManyRequests", "Too many requests, please try again later.");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    begun.finish().await.expect("a response").is(201);
    eventually("the slot is free", || async { in_flight(&api).await == 0 }).await;
    api.post("images", &image("other")).await.is(201);
}

#[tokio::test]
async fn reading_has_a_limit_of_its_own() {
    let api = Api::with(&["--max-requests-inflight=1"]).await;
    let round = || async {
        let answers = api
            .client
            .send_together(vec![request("GET", "images"); 100])
            .await
            .expect("every request gets a response");
        assert!(answers.iter().all(
            |answer| [200, 429].contains(&answer.status) && answer.broken_promises().is_empty()
        ));
        answers.iter().any(|answer| answer.status == 429)
    };
    eventually("a request is rejected", round).await;
    api.get("images").await.is(200);
}

#[tokio::test]
async fn what_must_always_answer_answers() {
    let (api, begun) = full().await;
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
        assert_eq!(api.ask(Request::new("GET", path)).await.status, 200, "{path}");
    }
    assert_eq!(api.get("images").await.status, 200, "reads have their own slots");
    begun.finish().await.expect("a response").is(201);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let (api, begun) = full().await;
    drop(begun);
    eventually("the slot is free", || async { in_flight(&api).await == 0 }).await;
    api.post("images", &image("other")).await.is(201);
}
