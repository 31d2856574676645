//! Responses, metrics and logs for a disk that is full, failed or damaged.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::fixtures::image;
use crate::harness::{Api, ApiOf, EMBEDDED, Expect, ProcessApi, TestServer, eventually};
use crate::support::client::Request;

const FILE: &str = "data/store.redb";

/// An image of about this size, which the store cannot compress.
fn large(name: &str, bytes: usize) -> Value {
    let mut image = image(name);
    let config: String = std::iter::repeat_with(fastrand::alphanumeric).take(bytes).collect();
    image["dockerImageConfig"] = config.into();
    image
}

async fn text<S: TestServer>(api: &ApiOf<S>, path: &str) -> String {
    let answer = api.ask(Request::new("GET", path)).await;
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8_lossy(&answer.body).into_owned()
}

async fn incidents<S: TestServer>(api: &ApiOf<S>, name: &str) -> u64 {
    let start = format!("imagestream_apiserver_storage_incidents_total{{incident=\"{name}\"}} ");
    let metrics = text(api, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {start} in\n{metrics}")).parse().unwrap()
}

/// Limits the size of every file that the server writes.
fn limit(api: &ProcessApi, bytes: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(api.server.id()).unwrap());
    prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None })
        .expect("a limit can be set for a child");
}

#[tokio::test]
async fn full_disk_gives_507_and_writes_recover() {
    let api = ProcessApi::embedded().await;
    api.post("images", &image("before")).await.is(201);
    limit(&api, Some(fs::metadata(api.server.folder().join(FILE)).unwrap().len()));
    let mut stored = 1;
    let refused = loop {
        let answer = api.post("images", &large(&format!("image-{stored}"), 50_000)).await;
        if answer.status != 201 {
            break answer;
        }
        stored += 1;
        assert!(stored < 1000, "the file grows beyond its limit");
    };
    let message =
        "the server's storage is full: nothing was written; make room on its volume and try again";
    refused.fails(507, "InsufficientStorage", message);
    for _ in 0..20 {
        api.get("images/before").await.is(200);
        let list = api.get("images").await.is(200);
        assert_eq!(list["items"].as_array().unwrap().len(), stored);
        api.post("images", &large("more", 50_000)).await.fails(507, "InsufficientStorage", message);
    }
    let told = text(&api, "/readyz?verbose").await;
    assert!(told.contains("warn: storage: no space is left"), "{told}");
    assert_eq!(text(&api, "/readyz").await, "ok");
    assert!(incidents(&api, "full").await >= 20);
    assert!(api.server.log().iter().any(|line| line.contains("no space left")));
    limit(&api, None);
    eventually("an image is stored again", || async {
        api.post("images", &image("after")).await.status == 201
    })
    .await;
    assert!(!text(&api, "/readyz?verbose").await.contains("warn:"));
}

#[tokio::test]
async fn volume_smaller_than_the_reserve_is_logged_at_start() {
    const LINE: &str = "less free space than --storage-reserve";
    let api = Api::embedded().await;
    assert!(!api.server.log().iter().any(|line| line.contains(LINE)), "{:?}", api.server.log());
    // No volume has as much.
    let api = Api::with(&[EMBEDDED, "--storage-reserve=1073741824Gi"]).await;
    let log = api.server.log();
    let line = log.iter().find(|line| line.contains(LINE)).unwrap_or_else(|| panic!("{log:?}"));
    let line: Value = serde_json::from_str(line).expect("the log is JSON");
    assert_eq!((&line["level"], &line["reserve"]), (&"WARN".into(), &(1_u64 << 60).into()));
    assert!(line["free"].is_u64(), "{line}");
    assert_eq!(api.post("images", &image("refused")).await.status, 507);
}

#[tokio::test]
async fn damaged_value_gives_500_and_is_reported_everywhere() {
    let mut api = ProcessApi::embedded().await;
    api.post("images", &image("good")).await.is(201);
    let mut bad = image("bad");
    bad["dockerImageConfig"] = "what is flipped".into();
    api.post("images", &bad).await.is(201);
    api.server.kill9();
    let path = api.server.folder().join(FILE);
    let mut content = fs::read(&path).unwrap();
    let text_at: Vec<_> =
        content.windows(15).enumerate().filter(|(_, text)| *text == b"what is flipped").collect();
    let places: Vec<_> = text_at.into_iter().map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| content[at] ^= 1);
    fs::write(&path, content).unwrap();
    api.restart().await;
    let status = api.get("images/bad").await.is(500);
    assert_eq!((&status["kind"], &status["reason"]), (&"Status".into(), &"InternalError".into()));
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("/images/bad") && message.contains("damaged"), "{message}");
    api.get("images").await.is(500);
    api.get("images/good").await.is(200);
    assert_eq!(incidents(&api, "damaged").await, 2);
    let told = text(&api, "/readyz?verbose").await;
    assert!(
        told.contains("warn: storage: damaged data was read 2 times since the start\n"),
        "{told}"
    );
    let log = api.server.log();
    assert!(
        log.iter().any(|line| line.contains("ERROR") && line.contains("/images/bad")),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_store_that_fails_for_good_ends_the_process_with_a_reason() {
    let mut api = ProcessApi::embedded().await;
    // More data than the server caches in memory.
    for n in 0..30 {
        api.post("images", &large(&format!("image-{n}"), 500_000)).await.is(201);
    }
    fs::File::options()
        .write(true)
        .open(api.server.folder().join(FILE))
        .unwrap()
        .set_len(0)
        .unwrap();
    // The connection may end before the response.
    let answer = api.client.send_unchecked(crate::harness::request("GET", "images")).await;
    assert!(
        answer.as_ref().is_err() || answer.as_ref().is_ok_and(|answer| answer.status == 503),
        "{answer:?}"
    );
    assert_eq!(api.server.wait().await.code(), Some(1));
    let log = api.server.log().join("\n");
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("imagestream-apiserver: ") && last.contains("could not be opened again"),
        "{log}"
    );
}
