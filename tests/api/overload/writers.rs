//! Clients that send slowly.

use super::resident;
use crate::fixtures::image;
use crate::harness::{Expect, ProcessApi, eventually, request};
use crate::support::client::Request;

/// A body size just below the limit, in bytes.
const ALMOST: usize = (3 << 20) - 1024;
/// The number of bodies that one client sends at a time: more than the budget has memory for.
const BODIES: usize = 42;
/// The part of `--memory-budget=384Mi` that holds bodies as they arrive, in bytes.
const MEMORY: usize = 48 << 20;
/// The maximum growth besides that part, in bytes.
const BESIDES: usize = 32 << 20;

fn large() -> Request {
    let mut request = request("POST", "images").header("content-type", "application/json");
    request.body = Some(vec![b' '; ALMOST]);
    request
}

#[tokio::test]
async fn slow_writers_of_large_bodies_share_a_bounded_memory() {
    let api = ProcessApi::with(&["--memory-budget=384Mi"]).await;
    let before = resident(&api);
    let mut slow = Vec::new();
    for _ in 0..BODIES {
        slow.push(api.client.begin(large()).await.expect("the request can be started"));
    }
    // Small requests need none of the memory that the bodies wait for.
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
