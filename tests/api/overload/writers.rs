//! Clients that send slowly.

use super::resident;
use crate::fixtures::image;
use crate::harness::{Expect, ProcessApi, eventually, request};
use crate::support::client::Request;

/// A body size just below the limit, in bytes.
const ALMOST: usize = (3 << 20) - 1024;
/// The memory budget of the server for request bodies, in bytes.
const MEMORY: usize = 128 << 20;
/// The maximum growth besides the budget, in bytes. The system may give whole huge pages to a body.
const BESIDES: usize = 112 << 20;

fn large() -> Request {
    let mut request = request("POST", "images").header("content-type", "application/json");
    request.body = Some(vec![b' '; ALMOST]);
    request
}

#[tokio::test]
async fn slow_writers_of_large_bodies_share_a_bounded_memory() {
    let api = ProcessApi::start().await;
    let before = resident(&api);
    let mut slow = Vec::new();
    for _ in 0..MEMORY / ALMOST {
        slow.push(api.client.begin(large()).await.expect("the request can be started"));
    }
    // The announced length is enough for a rejection: no byte of the body has arrived.
    let mut announced = request("POST", "images").header("content-length", &ALMOST.to_string());
    announced = announced.header("content-type", "application/json");
    eventually("large bodies are rejected", || async {
        let answer = api.ask(announced.clone()).await;
        answer.status == 429 && answer.header("retry-after") == Some("1")
    })
    .await;
    api.post("images", &image("small")).await.is(201);
    api.get("images/small").await.is(200);
    let grown = resident(&api).saturating_sub(before);
    assert!(grown < MEMORY + BESIDES, "{grown} bytes for {} bodies", slow.len());
    drop(slow);
    eventually("the memory is free", || async { api.ask(large()).await.status == 400 }).await;
    // The allocator returns free memory only while it handles requests.
    eventually("the memory is released", || async {
        api.get("images/small").await.is(200);
        resident(&api) < before + BESIDES
    })
    .await;
}
