//! Clients that send slowly.

use super::{in_flight, resident};
use crate::fixtures::image;
use crate::harness::{Expect, ProcessApi, eventually, request};
use crate::support::client::Request;

/// A little less than the largest body that is read.
const ALMOST: usize = (3 << 20) - 1024;
/// What the server keeps for bodies of requests. So many large ones fit.
const MEMORY: usize = 128 << 20;
/// What it may take besides.
const BESIDES: usize = 64 << 20;

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
        slow.push(api.client.begin(large()).await.expect("it can be begun"));
    }
    eventually("all are read", || async { in_flight(&api).await == slow.len() }).await;
    // Announced is enough: nothing of the body has come.
    let mut announced = request("POST", "images").header("content-length", &ALMOST.to_string());
    announced = announced.header("content-type", "application/json");
    eventually("large bodies are turned away", || async {
        let answer = api.ask(announced.clone()).await;
        answer.status == 429 && answer.header("retry-after") == Some("1")
    })
    .await;
    api.post("images", &image("small")).await.is(201);
    api.get("images/small").await.is(200);
    let grown = resident(&api).saturating_sub(before);
    assert!(grown < MEMORY + BESIDES, "{grown} bytes for {} bodies", slow.len());
    drop(slow);
    eventually("the bodies are gone", || async { in_flight(&api).await == 0 }).await;
    api.ask(large()).await.is(400);
    // The allocator gives back what is free while it has something to do.
    eventually("the memory is given back", || async {
        api.get("images/small").await.is(200);
        resident(&api) < before + BESIDES
    })
    .await;
}
