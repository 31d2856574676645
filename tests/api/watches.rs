//! Watches: their events, their start version, and their end.

mod tags;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::fixtures::{image, stream};
use crate::harness::{Api, EMBEDDED, Expect, STREAMS, TestServer, V1, request};
use crate::support::client::Request;
use crate::support::client::watch::Watch;

/// Starts a watch of a path, which may have a query.
async fn watch(api: &Api, path: &str) -> Watch {
    let mark = if path.contains('?') { '&' } else { '?' };
    api.client.watch(request("GET", &format!("{path}{mark}watch=true"))).await
}

/// Returns the resourceVersion of an object or of a list.
fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().expect("a resourceVersion")
}

async fn label(api: &Api, name: &str, value: &str) {
    let patch = json!({"metadata": {"labels": {"l": value}}});
    let request = Request {
        headers: Vec::new(),
        ..request("PATCH", &format!("{STREAMS}/{name}")).json(&patch)
    };
    api.ask(request.header("content-type", "application/merge-patch+json")).await.is(200);
}

#[tokio::test]
async fn watch_starts_with_state_and_continues_with_changes() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        api.post(STREAMS, &stream(name)).await.is(201);
    }
    for (query, value) in [("", "1"), ("?resourceVersion=0", "2")] {
        let mut watch = watch(&api, &format!("imagestreams{query}")).await;
        assert_eq!(watch.head.header("content-type"), Some("application/json"));
        assert_eq!(watch.told().await.as_deref(), Some("ADDED a"));
        assert_eq!(watch.told().await.as_deref(), Some("ADDED b"));
        label(&api, "a", value).await;
        assert_eq!(watch.told().await.as_deref(), Some("MODIFIED a"));
    }
    let mut one = watch(&api, &format!("{STREAMS}?fieldSelector=metadata.name%3Db")).await;
    assert_eq!(one.told().await.as_deref(), Some("ADDED b"));
    label(&api, "a", "more").await;
    let deleted = api.delete(&format!("{STREAMS}/b")).await.is(200);
    let event = one.next().await.expect("an event");
    assert_eq!(event["type"], "DELETED");
    let last = api.get(STREAMS).await.is(200);
    assert_eq!(
        version(&event["object"]),
        version(&last),
        "the event has the version of the deletion: {deleted}"
    );
}

#[tokio::test]
async fn a_page_of_what_is_there_follows_the_other() {
    // A streaming list reads the initial events in pages, then sends the bookmark.
    let api = Api::start().await;
    let names: Vec<String> = (100..160).map(|number| format!("s{number}")).collect();
    for name in &names {
        api.post(STREAMS, &stream(name)).await.is(201);
    }
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let mut watch = watch(&api, &format!("imagestreams?{query}")).await;
    for name in &names {
        assert_eq!(watch.told().await, Some(format!("ADDED {name}")));
    }
    let mark = watch.next().await.expect("a bookmark");
    assert_eq!(
        (&mark["type"], &mark["object"]["kind"]),
        (&json!("BOOKMARK"), &json!("ImageStream"))
    );
    let metadata = &mark["object"]["metadata"];
    assert_eq!(metadata["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    assert_eq!(
        metadata["resourceVersion"],
        api.get(STREAMS).await.is(200)["metadata"]["resourceVersion"]
    );
    let rest = watch.rest().await;
    let types: Vec<_> = rest.iter().map(|event| event["type"].as_str()).collect();
    assert_eq!(types, [Some("BOOKMARK")], "the watch ends with a bookmark: {rest:?}");
}

#[tokio::test]
async fn a_watch_from_now_tells_nothing_of_before() {
    let api = Api::with_stream().await;
    let query = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut watch = watch(&api, &format!("imagestreams?{query}")).await;
    api.post(STREAMS, &stream("t")).await.is(201);
    assert_eq!(watch.told().await.as_deref(), Some("ADDED t"));
}

#[tokio::test]
async fn selectors_turn_changes_into_coming_and_going() {
    // A change that makes an object match is ADDED, one that ends the match is DELETED.
    let api = Api::with_stream().await;
    let now = api.get(STREAMS).await.is(200);
    let selected = format!("{STREAMS}?labelSelector=l%3Dyes&resourceVersion={}", version(&now));
    let mut watch = watch(&api, &selected).await;
    for value in ["no", "yes", "no", "yes"] {
        label(&api, "s", value).await;
    }
    api.delete(&format!("{STREAMS}/s")).await.is(200);
    let mut told = Vec::new();
    for _ in 0..4 {
        let event = watch.next().await.expect("an event");
        assert_eq!(event["object"]["metadata"]["labels"]["l"], "yes");
        told.push(event["type"].as_str().expect("a type").to_owned());
    }
    assert_eq!(told, ["ADDED", "DELETED", "ADDED", "DELETED"]);
}

#[tokio::test]
async fn the_older_paths_watch_as_well() {
    // The deprecated `watch/` paths.
    let api = Api::with_stream().await;
    api.post("images", &image("i")).await.is(201);
    let one = format!("watch/{STREAMS}/s");
    let paths = [
        ("watch/images", "i"),
        ("watch/images/i", "i"),
        ("watch/imagestreams", "s"),
        (&*format!("watch/{STREAMS}"), "s"),
        (&one, "s"),
    ];
    for (path, name) in paths {
        let mut watch = api.client.watch(request("GET", path)).await;
        assert_eq!(watch.told().await, Some(format!("ADDED {name}")), "{path}");
    }
    api.get(&format!("{one}?fieldSelector=metadata.name%3Dother")).await.is(400);
    api.delete(&one).await.is(405);
    api.get("watch/imagetags").await.is(404);
    api.get(&format!("watch/{STREAMS}/s/status")).await.is(404);
    api.get("watch/namespaces/ns/images").await.is(404);
}

/// Without a namespace the request would be authorized for one name, but would show objects of
/// every name.
#[tokio::test]
async fn watch_of_namespaced_object_needs_the_namespace() {
    let api = Api::with_stream().await;
    let answer = api.get("watch/imagestreams/s").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_watch_goes_on_after_a_restart_where_it_was() {
    let mut api = Api::with_stream().await;
    let now = api.get(STREAMS).await.is(200);
    let from = format!("imagestreams?resourceVersion={}", version(&now));
    label(&api, "s", "1").await;
    let mut before = watch(&api, &from).await;
    assert_eq!(before.told().await.as_deref(), Some("MODIFIED s"));
    api.server.stop().await;
    assert_eq!(before.next().await, None, "the watch ends regularly with its server");
    api.restart().await;
    let mut after = watch(&api, &from).await;
    assert_eq!(after.told().await.as_deref(), Some("MODIFIED s"));
    label(&api, "s", "2").await;
    assert_eq!(after.told().await.as_deref(), Some("MODIFIED s"));
}

#[tokio::test]
async fn a_server_that_ends_does_not_wait_for_its_watchers() {
    let mut api = Api::with_stream().await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        let mut watch = watch(&api, "imagestreams").await;
        // A server that shuts down sends no pending events, so the first event is read here.
        assert_eq!(watch.told().await.as_deref(), Some("ADDED s"));
        watches.push(watch);
    }
    let start = Instant::now();
    api.server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for mut watch in watches {
        assert_eq!(watch.next().await, None);
    }
}

#[tokio::test]
async fn a_watch_from_before_compaction_is_told_to_list_again() {
    let api = Api::with(&[EMBEDDED, "--compaction-interval=1s", "--compaction-retention=1s"]).await;
    let first = api.post(STREAMS, &stream("s")).await.is(201);
    let from = format!("{STREAMS}?resourceVersion={}", version(&first));
    let start = Instant::now();
    let told = loop {
        label(&api, "s", &start.elapsed().as_millis().to_string()).await;
        let events = watch(&api, &format!("{from}&timeoutSeconds=1")).await.rest().await;
        match events.last() {
            Some(event) if event["type"] == "ERROR" => break event.clone(),
            _ => assert!(start.elapsed() < Duration::from_secs(60), "{events:?}"),
        }
    };
    let status = &told["object"];
    assert_eq!(
        (&status["kind"], &status["code"], &status["reason"]),
        (&json!("Status"), &json!(410), &json!("Expired"))
    );
    let text = format!("too old resource version: {} (", version(&first));
    assert!(status["message"].as_str().is_some_and(|told| told.starts_with(&text)), "{told}");
}

/// An idle watch has received all events, so compaction of older revisions does not affect it.
#[tokio::test]
async fn a_watch_of_what_does_not_change_outlives_compaction() {
    let api = Api::with(&[EMBEDDED, "--compaction-interval=1s", "--compaction-retention=1s"]).await;
    api.post(STREAMS, &stream("s")).await.is(201);
    api.post(STREAMS, &stream("still")).await.is(201);
    let from = version(&api.get(STREAMS).await.is(200)).to_owned();
    let mut of_images = watch(&api, &format!("images?resourceVersion={from}")).await;
    let one = format!("{STREAMS}?fieldSelector=metadata.name%3Dstill&resourceVersion={from}");
    let mut of_one = watch(&api, &one).await;
    let mut of_few =
        watch(&api, &format!("{STREAMS}?labelSelector=few&resourceVersion={from}")).await;
    let old = format!("{STREAMS}?resourceVersion={from}&resourceVersionMatch=Exact");
    let number = AtomicUsize::new(0);
    crate::harness::eventually("the start version is compacted", || async {
        label(&api, "s", &number.fetch_add(1, Ordering::Relaxed).to_string()).await;
        api.get(&old).await.status == 410
    })
    .await;
    api.post("images", &image("i")).await.is(201);
    assert_eq!(of_images.told().await.as_deref(), Some("ADDED i"));
    label(&api, "still", "1").await;
    assert_eq!(of_one.told().await.as_deref(), Some("MODIFIED still"));
    let patch = json!({"metadata": {"labels": {"few": "1"}}});
    let request =
        Request { headers: Vec::new(), ..request("PATCH", &format!("{STREAMS}/s")).json(&patch) };
    api.ask(request.header("content-type", "application/merge-patch+json")).await.is(200);
    assert_eq!(of_few.told().await.as_deref(), Some("ADDED s"));
}

#[tokio::test]
async fn a_future_version_is_waited_for() {
    // A watch from a future resourceVersion starts after that version. Versions may have gaps:
    // etcd counts the writes of all its clients.
    let api = Api::with_stream().await;
    let number = |object: &Value| version(object).parse::<u64>().expect("a number");
    let start = number(&api.get(STREAMS).await.is(200)) + 20;
    let mut watch = watch(&api, &format!("imagestreams?resourceVersion={start}")).await;
    let mut later = None;
    for value in 0..=20 {
        label(&api, "s", &value.to_string()).await;
        let written = number(&api.get(&format!("{STREAMS}/s")).await.is(200));
        if written > start {
            later = Some(written);
            break;
        }
    }
    let event = watch.next().await.expect("an event");
    assert_eq!(Some(number(&event["object"])), later, "the first change after {start}");
}

#[tokio::test]
async fn there_are_only_so_many_watches() {
    // Two watches for each user.
    let mut api = Api::with(&["--max-watches=8", "--max-requests-inflight=1"]).await;
    api.client = api.server.alice();
    let first = watch(&api, "images").await;
    let _second = watch(&api, "images").await;
    let refused = api.get("images?watch=true").await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.is(429);
    api.get("images").await.is(200);
    drop(first);
    let granted = || async { api.get("images?watch=true&timeoutSeconds=1").await.status == 200 };
    crate::harness::eventually("another watch is accepted", granted).await;
    let metrics = api.ask(Request::new("GET", "/metrics")).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let gauge =
        text.lines().find(|line| line.starts_with("apiserver_longrunning_requests{verb=\"WATCH\""));
    assert!(gauge.is_some_and(|line| line.ends_with(" 1")), "{text}");
    assert!(text.contains("apiserver_watch_events_total{resource=\"images\"} 0"), "{text}");
}

#[tokio::test]
async fn websocket_watch_sends_one_message_per_event() {
    let mut api = Api::with_stream().await;
    let (answer, mut socket) =
        api.client.websocket(&format!("{V1}/imagestreams?watch=true"), &[]).await;
    assert_eq!(answer.status(), 101);
    let events = ["ADDED", "MODIFIED", "MODIFIED"];
    for (number, wanted) in events.into_iter().enumerate() {
        let message = socket.next().await.expect("a message").expect("a valid request");
        let text = message.into_text().expect("text");
        assert!(!text.ends_with('\n'));
        let event: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!(wanted), &json!("s"))
        );
        label(&api, "s", &number.to_string()).await;
    }
    drop(socket.next().await);
    api.server.stop().await;
    let end = socket.next().await.expect("a message").expect("a valid request");
    assert!(
        matches!(end, Message::Close(Some(ref frame)) if frame.code == CloseCode::Normal),
        "{end:?}"
    );
}

#[tokio::test]
async fn websocket_watch_ends_in_time_and_sends_protobuf() {
    let api = Api::with_stream().await;
    let accept = [(
        "accept",
        "application/vnd.kubernetes.protobuf;stream=watch, application/vnd.kubernetes.protobuf",
    )];
    let target = format!("{V1}/imagestreams?watch=true&timeoutSeconds=1");
    let (_, mut socket) = api.client.websocket(&target, &accept).await;
    let message = socket.next().await.expect("a message").expect("a valid request");
    let Message::Binary(bytes) = &message else { panic!("{message:?}") };
    assert!(bytes.starts_with(b"\x0a\x05ADDED"), "{bytes:?}");
    let end = socket.next().await.expect("a message").expect("a valid request");
    assert!(end.is_close(), "{end:?}");
}

/// Every client receives every event once and in order, fast or slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_watchers_see_every_event_once_and_in_order() {
    const WATCHERS: usize = 100;
    const EVENTS: usize = 100;
    let api = Api::with_stream().await;
    let from = format!("imagestreams?resourceVersion={}", version(&api.get(STREAMS).await.is(200)));
    let mut watches = Vec::new();
    for _ in 0..WATCHERS {
        watches.push(watch(&api, &from).await);
    }
    let seen = watches.into_iter().map(|mut watch| {
        tokio::spawn(async move {
            for number in 0..EVENTS {
                let event = watch.next().await.expect("an event");
                assert_eq!(event["type"], "MODIFIED");
                assert_eq!(event["object"]["metadata"]["labels"]["l"], number.to_string());
            }
        })
    });
    let seen: Vec<_> = seen.collect();
    for number in 0..EVENTS {
        label(&api, "s", &number.to_string()).await;
    }
    for watcher in seen {
        watcher.await.expect("every event, in order");
    }
}

#[tokio::test]
async fn a_watch_of_one_object_selects_no_other_and_reads_no_timeout() {
    // A field selector must match the object in the path, and `timeout` is not parsed for a watch.
    let api = Api::start().await;
    api.post(STREAMS, &stream("a")).await.is(201);
    for selector in ["metadata.name%3Db", "metadata.name!%3Db", "metadata.namespace%3Dns"] {
        let path = format!("watch/{STREAMS}/a?fieldSelector={selector}");
        let refused = api.get(&path).await.is(400);
        assert_eq!(
            refused["message"], "fieldSelector metadata.name doesn't match requested name",
            "{selector}"
        );
    }
    let mut watch = watch(&api, &format!("{STREAMS}?timeout=bad")).await;
    assert_eq!(watch.told().await.as_deref(), Some("ADDED a"));
    api.get(&format!("{STREAMS}?timeout=bad")).await.is(400);
}
