//! Large requests: they share a few slots, whatever the number of workers, and have their own
//! limits.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{peak, resident};
use crate::fixtures::{digest, image, index, mapping, stream};
use crate::harness::{
    Api, Expect, MAPPINGS, ProcessApi, STREAM_IMAGES, STREAMS, TestServer, request,
};
use crate::support::client::Request;
use crate::support::process::{Launch, ServerProcess};

/// The maximum response time of a probe beside large requests.
const PROMPT: Duration = Duration::from_secs(1);
/// The number of probes.
const PROBES: usize = 30;
/// The number of concurrent large requests.
const AT_ONCE: usize = 40;
/// The maximum growth of the server's memory, besides request bodies, in bytes. It allows some of
/// the requests to run at once, but not all.
const GROWTH: usize = 640 << 20;

async fn with_workers(workers: &str) -> ProcessApi {
    let variables: &[_] = &[("TOKIO_WORKER_THREADS", workers)];
    let server = ServerProcess::launch(Launch { variables, ..Launch::default() }).await;
    ProcessApi { client: server.admin(), server }
}

/// A merge patch with many small values.
fn wide_patch() -> Request {
    let mut patch = request("PATCH", &format!("{STREAMS}/s"))
        .header("content-type", "application/merge-patch+json");
    patch.body = Some(format!("{{\"x\":[{}0]}}", "{\"a\":0},".repeat(66_000)).into_bytes());
    patch
}

/// An apply with many tags.
fn wide_apply() -> Request {
    let tags: Vec<Value> =
        (0..40_000).map(|number| json!({"name": format!("t{number}")})).collect();
    let object = json!({"apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": {"name": "s"},
        "spec": {"tags": tags}});
    let path = format!("{STREAMS}/s?fieldManager=m&force=true&dryRun=All");
    let mut apply = request("PATCH", &path).header("content-type", "application/apply-patch+yaml");
    apply.body = Some(object.to_string().into_bytes());
    apply
}

/// Repeats one request over many connections, and checks the response times of probes and the
/// memory.
async fn probes_answer_beside(workers: &str, attack: Request) {
    let api = with_workers(workers).await;
    api.post(STREAMS, &stream("s")).await.is(201);
    let before = resident(&api);
    let mut attackers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, attack) = (api.server.admin(), attack.clone());
        attackers.spawn(async move {
            loop {
                // The request may be rejected, or cut off by the end of the test.
                let _ = client.send_unchecked(attack.clone()).await;
            }
        });
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..PROBES {
        let start = Instant::now();
        assert_eq!(api.ask(Request::new("GET", "/livez")).await.status, 200);
        slowest = slowest.max(start.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    let grown = peak(&api).saturating_sub(before);
    println!(
        "{workers} workers: probes take {slowest:?} at most, the server grows by {} MiB",
        grown >> 20
    );
    assert!(slowest < PROMPT, "{slowest:?}");
    assert!(grown < GROWTH, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_beside_large_patches() {
    for workers in ["2", "16"] {
        probes_answer_beside(workers, wide_patch()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_beside_large_applies() {
    for workers in ["2", "16"] {
        probes_answer_beside(workers, wide_apply()).await;
    }
}

#[tokio::test]
async fn small_requests_get_through_beside_large_ones() {
    let api = Api::with_stream().await;
    let (client, attack) = (api.server.admin(), wide_apply());
    // Large requests of one user run one after the other, in the 34 s of a write.
    let large = join_all((0..2).map(|_| client.send(attack.clone())));
    let small = async {
        for number in 0..20 {
            api.post(STREAMS, &stream(&format!("s{number}"))).await.is(201);
        }
    };
    let (large, ()) = tokio::join!(large, small);
    for answer in large {
        let answer = answer.expect("a response");
        assert!([200, 413, 422].contains(&answer.status), "{}", answer.status);
    }
}

/// An image with `layers` layers that no other image has.
fn with_layers(number: usize, layers: usize) -> Value {
    let mut image = image(&digest(&format!("{number:x}f")));
    let layer = |at: usize| json!({"name": digest(&format!("{number:x}e{at:x}e")), "size": 5, "mediaType": "layer"});
    image["dockerImageLayers"] = (0..layers).map(layer).collect();
    image
}

/// Creates an image as an administrator, whose layers count without a manifest, and pushes it.
async fn push_vouched(api: &ProcessApi, tag: &str, image: &Value) {
    api.post("images", image).await.is(201);
    api.push(tag, image).await;
}

#[tokio::test]
async fn layers_beyond_a_size_are_refused_and_say_what_to_do() {
    let api = ProcessApi::with_stream().await;
    let path = format!("{STREAMS}/s/layers");
    for number in 0..100 {
        push_vouched(&api, &format!("t{number}"), &with_layers(number, 500)).await;
    }
    let shown = api.get(&path).await.is(200);
    assert_eq!(shown["images"].as_object().map(serde_json::Map::len), Some(100));
    for number in 100..180 {
        push_vouched(&api, &format!("t{number}"), &with_layers(number, 500)).await;
    }
    let before = resident(&api);
    let answers = join_all((0..6).map(|_| api.get(&path))).await;
    let grown = peak(&api).saturating_sub(before);
    for answer in answers {
        answer.fails(
            413,
            "RequestEntityTooLarge",
            "the layers of imagestreams.image.openshift.io \"s\" take more than 16777216 bytes: remove tags, or images \
             from the histories of its tags (oc adm prune images), or ask for single images (imagestreamimages)",
        );
    }
    assert!(grown < 200 << 20, "{grown} bytes");
}

#[tokio::test]
async fn a_new_part_is_found_at_once_while_others_push_lists() {
    let api = Api::with_stream().await;
    api.post(STREAMS, &stream("other")).await.is(201);
    // Each list refers to the next one, which is created later without a push to the stream.
    let list = |round: usize| digest(&format!("a{round:x}a"));
    api.push("t", &index(&list(0), &[&list(1)])).await;
    for round in 1..30 {
        let leaf = digest(&format!("c{round:x}c"));
        api.post("images", &image(&leaf)).await.is(201);
        assert_eq!(api.get(&format!("{STREAM_IMAGES}/s@{leaf}")).await.status, 404);
        let elsewhere =
            mapping("other", "t", &index(&digest(&format!("b{round:x}b")), &[&digest("b0")]));
        let here = index(&list(round), &[&list(round + 1), &leaf]);
        let (other, here) = tokio::join!(api.post(MAPPINGS, &elsewhere), api.post("images", &here));
        other.is(201);
        here.is(201);
        for id in [&leaf[7..20], &leaf] {
            let found = api.get(&format!("{STREAM_IMAGES}/s@{id}")).await.is(200);
            assert_eq!(found["image"]["metadata"]["name"], leaf, "{id}");
        }
    }
}

/// A stream with one tag per namespace, which refers to a stream in that namespace.
fn with_sources(namespaces: impl Iterator<Item = String>) -> Value {
    let mut stream = stream("tags");
    let tag = |(number, namespace): (usize, String)| {
        let from = json!({"kind": "ImageStreamTag", "namespace": namespace, "name": format!("s{number}:t")});
        json!({"name": format!("t{number}"), "from": from})
    };
    stream["spec"]["tags"] = namespaces.enumerate().map(tag).collect();
    stream
}

#[tokio::test]
async fn a_write_that_needs_too_many_others_is_refused() {
    let api = Api::start().await;
    let elsewhere = |count: usize| with_sources((0..count).map(|number| format!("ns{number}")));
    let refused = api.post(STREAMS, &elsewhere(101)).await.fails(
        422,
        "Invalid",
        "imagestreams.image.openshift.io \"tags\" cannot be written: it refers to 101 objects of other namespaces, each of \
         which needs an access review, and one write may need at most 100: split it into several writes",
    );
    assert_eq!(refused["details"]["name"], "tags");
    let here = |count: usize| with_sources((0..count).map(|_| "ns".to_owned()));
    api.post(STREAMS, &here(1001)).await.fails(
        422,
        "Invalid",
        "imagestreams.image.openshift.io \"tags\" cannot be written: it refers to 1001 other objects, and one write may \
         refer to at most 1000: split it into several writes",
    );
    // These writes are within the limit. Their sources do not exist.
    for fits in [elsewhere(100), here(1000)] {
        let answer = api.post(STREAMS, &fits).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == 201 || text.contains("Not found"),
            "{}: {text:.300}",
            answer.status
        );
    }
}
