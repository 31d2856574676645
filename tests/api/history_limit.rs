//! Limits on the bytes that a namespace writes and keeps in the storage.

use std::time::Duration;

use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Account, Accounting, Store};
use serde_json::{Value, json};
use tokio::time;

use crate::fixtures::{image, mapping, stream};
use crate::harness::{Api, EMBEDDED, Expect, STREAMS, TestServer, request};
use crate::store::run;
use crate::support::client::{Answer, Request};

/// 100,000 bytes at once.
const LIMIT: &str = "--max-history-bytes-per-namespace=400000";
const S: &str = "namespaces/ns/imagestreams/s";
const OTHER: &str = "namespaces/other/imagestreams";

/// A stream of 50 kB.
fn large(name: &str) -> Value {
    let mut stream = stream(name);
    stream["metadata"]["annotations"] = json!({"text": "x".repeat(50_000)});
    stream["spec"] = json!({"tags": [{"name": "a"}, {"name": "b"}]});
    stream
}

/// Rewrites the stream `s`.
async fn rewrite(api: &Api, number: usize, query: &str) -> Answer {
    let patch = json!({"metadata": {"labels": {"number": number.to_string()}}});
    let body = Some(patch.to_string().into_bytes());
    let request = request("PATCH", &format!("{S}{query}"));
    let request = request.header("content-type", "application/merge-patch+json");
    api.ask(Request { body, ..request }).await
}

/// Rewrites the stream `s` until a limit refuses it with a text.
async fn rewrite_until_refused(api: &Api, text: &str) -> Answer {
    let attempts = async {
        for number in 0.. {
            let answer = rewrite(api, number, "").await;
            match answer.status {
                200 => {}
                429 if message(&answer).contains(text) => return answer,
                429 => time::sleep(Duration::from_millis(50)).await,
                other => panic!("status {other}: {}", message(&answer)),
            }
        }
        unreachable!("numbers do not end")
    };
    time::timeout(Duration::from_secs(60), attempts).await.expect("a limit refuses the writes")
}

fn message(answer: &Answer) -> String {
    answer.json().expect("the answer is JSON")["message"].as_str().unwrap_or_default().to_owned()
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").expect("429 has Retry-After").parse().expect("a number")
}

#[tokio::test]
async fn namespace_that_writes_too_fast_gets_429() {
    let api = Api::with(&[LIMIT]).await;
    api.post(STREAMS, &large("s")).await.is(201);
    for number in 0..10 {
        rewrite(&api, number, "?dryRun=All").await.is(200);
    }
    let refused = rewrite_until_refused(&api, "namespace \"ns\"").await;
    let text = message(&refused);
    assert!(text.contains("333 bytes per second"), "{text}");
    assert!(text.contains("--max-history-bytes-per-namespace"), "{text}");
    // At most one write of 50 kB beyond the bucket.
    assert!((1..=170).contains(&retry_after(&refused)), "{}", retry_after(&refused));
    assert_eq!(refused.json().unwrap()["reason"], "TooManyRequests");
    rewrite(&api, 99, "?dryRun=All").await.is(200);
    api.post(OTHER, &large("s")).await.is(201);
    api.post("images", &image("i")).await.is(201);
    api.delete("namespaces/ns/imagestreamtags/s:a").await.is(200);
    api.delete(S).await.is(200);
    assert_eq!(api.post(STREAMS, &stream("t")).await.status, 429);
    let metrics = api.ask(Request::new("GET", "/metrics")).await;
    let metrics = String::from_utf8(metrics.body).expect("metrics are text");
    let refusals = "imagestream_apiserver_history_refusals_total{limit=\"rate\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(refusals));
    assert!(line.is_some_and(|count| count != "0"), "{metrics}");
}

#[tokio::test]
async fn namespace_with_too_much_history_gets_429() {
    let mut api = Api::with(&[EMBEDDED, LIMIT, "--compaction-retention=1s"]).await;
    api.post(STREAMS, &large("s")).await.is(201);
    let refused = rewrite_until_refused(&api, "bytes of storage").await;
    let text = message(&refused);
    assert!(text.contains("namespace \"ns\"") && text.contains("400000"), "{text}");
    assert!((1..=301).contains(&retry_after(&refused)), "{}", retry_after(&refused));
    api.post(OTHER, &large("s")).await.is(201);
    api.restart().await;
    let refused = rewrite_until_refused(&api, "bytes of storage").await;
    assert_eq!(retry_after(&refused), 301, "the time of its writes is not known any more");
    api.delete("namespaces/ns/imagestreamtags/s:a").await.is(200);
    api.delete(S).await.is(200);
}

/// The bytes of current values of an account, in the store of a folder.
async fn current_bytes(folder: &std::path::Path, account: &str) -> u64 {
    let store = Embedded::open(Options::new(folder)).expect("the store is closed");
    store.current().await.expect("the store can be read");
    store.usage(&Account::new(account)).current
}

#[tokio::test]
async fn image_counts_for_the_namespace_that_pushed_it_first() {
    let mut api = Api::embedded().await;
    api.post(STREAMS, &stream("s")).await.is(201);
    api.post(OTHER, &stream("s")).await.is(201);
    let mut pushed = image(&format!("sha256:{}", "1".repeat(64)));
    pushed["metadata"]["annotations"] = json!({"text": "x".repeat(50_000)});
    for namespace in ["ns", "other"] {
        let path = format!("namespaces/{namespace}/imagestreammappings");
        api.post(&path, &mapping("s", "t", &pushed)).await.is(201);
    }
    api.post("images", &image("i")).await.is(201);
    let folder = api.server.folder().join("data");
    api.server.stop().await;
    assert!(current_bytes(&folder, "namespace/ns").await > 50_000);
    let usage = [
        current_bytes(&folder, "namespace/ns").await,
        current_bytes(&folder, "namespace/other").await,
        current_bytes(&folder, "cluster").await,
    ];
    assert!(usage[1] < 5_000 && (1..5_000).contains(&usage[2]), "{usage:?}");
    let exported = run(&["export", "-"], &folder, b"").stdout;
    let imported = tempfile::tempdir().expect("a folder can be created");
    let output = run(&["import", "-"], imported.path(), &exported);
    assert!(output.status.success(), "{output:?}");
    for (name, bytes) in ["namespace/ns", "namespace/other", "cluster"].into_iter().zip(usage) {
        let imported = current_bytes(imported.path(), name).await;
        // The mark of complete manifest lists belongs to the first writer, here another one.
        assert!(imported.abs_diff(bytes) < 100, "{name}: {imported} bytes, {bytes} before");
    }
    let backup = run(&["backup", "-"], &folder, b"").stdout;
    let restored = tempfile::tempdir().expect("a folder can be created");
    let output = run(&["restore", "-"], restored.path(), &backup);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(current_bytes(restored.path(), "namespace/ns").await, usage[0]);
}
