//! Acknowledged writes survive a crash of the process.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use serde_json::Value;

use crate::child::{Output, Running};
use crate::fixtures::{digest, image, mapping};
use crate::harness::{Expect, MAPPINGS, ProcessApi, STREAMS, TestServer, eventually, request};
use crate::support::client::Client;

const WRITERS: usize = 8;
/// The number of acknowledged pushes per round.
const PUSHES: usize = 60;

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .parse()
        .expect("a version is a number here")
}

/// Pushes images until the server stops, and records the acknowledged ones.
async fn push_on(
    client: Client,
    next: &AtomicUsize,
    highest: &AtomicU64,
    acknowledged: &Mutex<Vec<usize>>,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = mapping("s", &format!("t{number}"), &image(&digest(&format!("{number:08x}"))));
        let Ok(answer) = client.send(request("POST", MAPPINGS).json(&body)).await else { return };
        answer.is(201);
        acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        let Ok(stream) = client.send(request("GET", &format!("{STREAMS}/s"))).await else { return };
        highest.fetch_max(version(&stream.is(200)), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_outlives_a_kill() {
    let mut api = ProcessApi::with_stream().await;
    let (next, highest, acknowledged) =
        (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let known = || acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for round in 1..=3 {
        let writers =
            (0..WRITERS).map(|_| push_on(api.server.admin(), &next, &highest, &acknowledged));
        let writers = join_all(writers);
        let kill = async {
            eventually("pushes are acknowledged", || async { known().len() >= round * PUSHES })
                .await;
            api.server.kill9();
        };
        tokio::join!(writers, kill);
        api.restart().await;
        check(&api, &known(), highest.load(Ordering::Relaxed)).await;
    }
}

async fn check(api: &ProcessApi, acknowledged: &[usize], highest: u64) {
    let stream = api.get(&format!("{STREAMS}/s")).await.is(200);
    let images = api.get("images").await.is(200);
    assert!(version(&stream) >= highest && version(&images) >= highest);
    let tags = stream["status"]["tags"].as_array().expect("the stream has tags");
    let images = images["items"].as_array().expect("the list has items");
    for number in acknowledged {
        let (tag, name) = (format!("t{number}"), digest(&format!("{number:08x}")));
        let event =
            tags.iter().find(|each| each["tag"] == tag).map(|each| &each["items"][0]["image"]);
        assert_eq!(event, Some(&Value::from(name.as_str())), "the event of {tag}");
        assert!(images.iter().any(|image| image["metadata"]["name"] == name), "the image of {tag}");
    }
    // Image and event are written in one transaction, so neither exists without the other.
    assert_eq!(tags.len(), images.len());
}

#[tokio::test]
async fn a_second_process_takes_over_when_the_first_has_ended() {
    // A second process waits for the lock of the data folder.
    let mut api = ProcessApi::embedded_with_stream().await;
    let at = |name: &str| api.server.folder().join(name).display().to_string();
    let flags =
        [("--data-dir", "data"), ("--cert-dir", "certs"), ("--token-auth-file", "tokens.csv")];
    let modes = [
        "serve",
        "--authorization-mode=AlwaysAllow",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
    ];
    let files = flags.map(|(flag, name)| format!("{flag}={}", at(name)));
    let mut second =
        Running::start(modes.into_iter().chain(files.iter().map(String::as_str)), Output::Logged);
    second.wait_for_line(|line| line.contains("in use by another process")).await;
    api.server.stop().await;
    second.wait_for_line(|line| line.contains("serving")).await;
}

#[tokio::test]
async fn versions_go_on_where_they_ended() {
    // Resource versions keep increasing after a crash.
    let mut api = ProcessApi::start().await;
    let mut last = version(&api.post("images", &image("a")).await.is(201));
    for name in ["b", "c"] {
        api.server.kill9();
        api.restart().await;
        assert!(version(&api.get("images").await.is(200)) >= last);
        let new = version(&api.post("images", &image(name)).await.is(201));
        assert!(new > last, "{new} follows {last}");
        last = new;
    }
}
