//! The server as a process that is killed during imports.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::{DEADLINE, TestRegistry};
use crate::support::client::{Client, Request};
use crate::support::process::ServerProcess;
use crate::support::server::TestServer;

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams";
const IMAGES: &str = "/apis/image.openshift.io/v1/images";
/// The number of streams, of tags of each, and of kills.
const SIZE: (usize, usize, u32) = (10, 8, 8);

#[tokio::test(flavor = "multi_thread")]
async fn kill_during_imports_leaves_nothing_half_done() {
    let (streams, tags, kills) = SIZE;
    let registry = TestRegistry::start().await;
    for tag in 0..streams * tags {
        registry.push(&tag.to_string(), &tag.to_string());
    }
    let flags = [
        "--controllers=*",
        "--import-allow-cidrs=127.0.0.0/8",
        "--scheduled-import-interval=200ms",
    ];
    let mut server = ServerProcess::start(&flags).await;
    let admin = server.admin();
    for at in 0..streams {
        let names = at * tags..(at + 1) * tags;
        let tags: Vec<Value> = names.map(|tag| spec_tag(tag, &registry)).collect();
        let stream = json!({"metadata": {"name": format!("s{at}")}, "spec": {"tags": tags}});
        let created = admin.send(Request::new("POST", STREAMS).json(&stream)).await;
        assert_eq!(created.expect("the server responds").status, 201);
    }
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(u64::from(kill) * 15)).await;
        server.kill9();
        server.restart().await;
        consistent(&server.admin()).await;
    }
    let started = Instant::now();
    while consistent(&server.admin()).await < streams * tags {
        assert!(started.elapsed() < DEADLINE, "not all tags are imported");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
    let data = server.folder().join("data");
    let mut check = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    let checked = check.args(["store", "check", "--data-dir"]).arg(data).output();
    let checked = checked.expect("the binary runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

fn spec_tag(tag: usize, registry: &TestRegistry) -> Value {
    let source = registry.source(&tag.to_string());
    json!({
        "name": format!("t{tag}"),
        "from": {"kind": "DockerImage", "name": source},
        "importPolicy": {"insecure": true, "scheduled": true},
    })
}

/// Checks that each imported tag has its image and one event, and none has a failure. Returns the
/// number of imported tags.
async fn consistent(client: &Client) -> usize {
    let items = |list: Value| list["items"].as_array().cloned().unwrap_or_default();
    let streams = items(list(client, STREAMS).await);
    // Read later, so it has the images of all events.
    let images: BTreeSet<String> = items(list(client, IMAGES).await)
        .iter()
        .map(|image| image["metadata"]["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    let tags = streams.iter().flat_map(|it| it["status"]["tags"].as_array().into_iter().flatten());
    let mut imported = 0;
    for tag in tags {
        assert_eq!(tag["conditions"], Value::Null, "{tag}");
        let events = tag["items"].as_array().expect("it has events");
        assert_eq!(events.len(), 1, "{tag}");
        assert!(images.contains(events[0]["image"].as_str().expect("it has an image")), "{tag}");
        imported += 1;
    }
    imported
}

async fn list(client: &Client, target: &str) -> Value {
    let answer = client.send(Request::new("GET", target)).await.expect("the server responds");
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).expect("it is JSON")
}
