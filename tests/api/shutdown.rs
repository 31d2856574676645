//! How the server ends: readiness fails first, work is finished, and whoever insists is obeyed.

use std::time::{Duration, Instant};

use crate::fixtures::image;
use crate::harness::{Api, Expect, eventually, request};
use crate::support::client::Request;

async fn status(api: &Api, path: &str) -> Option<u16> {
    api.client.send(Request::new("GET", path)).await.ok().map(|answer| answer.status)
}

#[tokio::test]
async fn a_server_that_is_told_to_end_is_not_ready_but_serves() {
    let mut api = Api::with(&["--shutdown-delay-duration=600s"]).await;
    api.server.ask_to_end();
    eventually("the server is still ready", || async { status(&api, "/readyz").await == Some(500) }).await;
    assert_eq!(status(&api, "/livez").await, Some(200));
    assert_eq!(status(&api, "/readyz?exclude=shutdown").await, Some(200));
    api.post("images", &image("a")).await.is(201);
    api.get("images/a").await.is(200);

    let start = Instant::now();
    api.server.ask_to_end();
    let ended = api.server.wait().await;
    assert_eq!(ended.code(), Some(1), "a second signal ends the server at once");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_ends_by_itself_after_the_delay() {
    let mut api = Api::with(&["--shutdown-delay-duration=300ms"]).await;
    let start = Instant::now();
    let ended = api.server.terminate().await;
    assert_eq!(ended.code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let mut api = Api::start().await;
    let begun = api.client.begin(request("POST", "images").json(&image("a"))).await.expect("it can be begun");
    let metrics =
        || async { String::from_utf8_lossy(&api.ask(Request::new("GET", "/metrics")).await.body).into_owned() };
    let counted = || async { metrics().await.contains("{request_kind=\"mutating\"} 1") };
    eventually("the request is not in flight", counted).await;
    api.server.ask_to_end();
    eventually("the server still accepts connections", || async { status(&api, "/livez").await.is_none() }).await;
    begun.finish().await.expect("an answer").is(201);
    assert_eq!(api.server.wait().await.code(), Some(0));
    api.server.restart().await;
    let again = api.server.admin().send(request("GET", "images/a")).await.expect("an answer");
    assert_eq!(again.status, 200);
}
