//! Storage usage in `/metrics` and in the log.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::fixtures::{digest, image, stream};
use crate::harness::{Api, EMBEDDED, Expect, STREAMS, TestServer, eventually};
use crate::support::client::Request;

/// Returns the value of a series, or none if the series is absent.
async fn metric(api: &Api, series: &str) -> Option<u64> {
    let answer = api.ask(Request::new("GET", "/metrics")).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("the value is an integer"))
}

fn of(metric: &str, resource: &str) -> String {
    format!("{metric}{{group=\"image.openshift.io\",resource=\"{resource}\"}}")
}

async fn comes_to(api: &Api, series: &str, wanted: u64) {
    eventually(&format!("{series} {wanted}"), || async {
        metric(api, series).await == Some(wanted)
    })
    .await;
}

#[tokio::test]
async fn gauges_follow_the_store_and_log_names_the_largest() {
    let mut api = Api::embedded_with_stream().await;
    for (number, tag) in ["a", "b", "a"].into_iter().enumerate() {
        api.push(tag, &image(&digest(&number.to_string()))).await;
    }
    api.post(STREAMS, &stream("other")).await.is(201);
    let mut large = image("large");
    large["dockerImageConfig"] = "x".repeat(100_000).into();
    api.post("images", &large).await.is(201);

    let objects = |resource| of("apiserver_resource_objects", resource);
    comes_to(&api, &objects("images"), 4).await;
    comes_to(&api, &objects("imagestreams"), 2).await;
    comes_to(&api, "imagestream_apiserver_tag_history_events", 3).await;
    let largest =
        metric(&api, &of("imagestream_apiserver_largest_object_bytes", "images")).await.unwrap();
    let bytes =
        metric(&api, &of("apiserver_resource_size_estimate_bytes", "images")).await.unwrap();
    assert!((100_000..bytes).contains(&largest), "{largest} of {bytes}");
    assert!(bytes < 110_000, "{bytes}");
    eventually("the log names the largest image", || async {
        let log = api.server.log();
        let mut lines =
            log.iter().filter(|line| line.contains("the largest of the stored objects"));
        lines.any(|line| line.contains(r#""resource":"images","name":"large","objects":4"#))
    })
    .await;

    api.restart().await;
    comes_to(&api, &objects("images"), 4).await;
    comes_to(&api, "imagestream_apiserver_tag_history_events", 3).await;
    api.delete(&format!("{STREAMS}/s")).await.is(200);
    comes_to(&api, &objects("imagestreams"), 1).await;
    comes_to(&api, "imagestream_apiserver_tag_history_events", 0).await;
}

#[tokio::test]
async fn the_gauges_tell_of_the_file_and_of_compaction() {
    let api = Api::with(&[EMBEDDED, "--compaction-interval=1s", "--compaction-retention=1s"]).await;
    let write = async |name: &str| -> u64 {
        let made = api.post(STREAMS, &stream(name)).await.is(201);
        let revision = made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        let current = "imagestream_apiserver_storage_current_revision";
        eventually("the gauge reaches the revision", || async {
            metric(&api, current).await >= Some(revision)
        })
        .await;
        revision
    };
    let first = write("first").await;
    // The gauges are refreshed every few seconds, which is enough for a compaction here.
    write("second").await;
    let compacted = metric(&api, "imagestream_apiserver_storage_compact_revision").await;
    assert!(compacted >= Some(first), "{compacted:?} and {first}");

    let file = fs::metadata(api.server.folder().join("data/store.redb")).unwrap();
    let size = metric(&api, "apiserver_storage_size_bytes{storage_cluster_id=\"embedded\"}")
        .await
        .unwrap();
    assert_eq!(size, file.blocks() * 512);
    assert!(metric(&api, "imagestream_apiserver_storage_available_bytes").await > Some(0));
    let pages = metric(&api, "imagestream_apiserver_storage_free_pages").await.unwrap();
    assert!(pages * 4096 < size, "{pages} of {size} bytes");
}
