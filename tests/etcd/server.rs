//! A server over one member of etcd: the cost of its reads, its metrics, its imports, and the end of
//! its terms.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use imagestream_apiserver::domain::digest::Digest;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::members::{Members, Settings};
use crate::registry::content::manifest_answer;
use crate::registry::{Content, Image, RegistryServer};
use crate::site::Replica;
use crate::support::client::{Client, Request};
use crate::support::server::TestServer;

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams";
const IMAGES: &str = "/apis/image.openshift.io/v1/images";
const LOOPBACK: &str = "--import-allow-cidrs=127.0.0.0/8";
const DEADLINE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);

async fn send(client: &Client, request: Request, status: u16) -> Value {
    let answer = client.send(request).await.expect("the server responds");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{text}");
    serde_json::from_str(&text).expect("the response is JSON")
}

/// Waits for a value.
async fn until<T>(what: &str, find: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}");
        sleep(INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_of_a_stream_image_asks_etcd_once() {
    const GETS: u64 = 100;
    let members = Members::start(1).await;
    let replica = Replica::start(&members).await;
    let client = replica.server.admin();
    let stream = json!({"metadata": {"name": "s"}});
    send(&client, Request::new("POST", STREAMS).json(&stream), 201).await;
    let name = Digest::sha256_of("image").to_string();
    let mapping = json!({"metadata": {"name": "s"}, "tag": "t", "image": {
        "metadata": {"name": name}, "dockerImageReference": format!("r.io/a@{name}")}});
    let mappings = STREAMS.replace("imagestreams", "imagestreammappings");
    send(&client, Request::new("POST", &mappings).json(&mapping), 201).await;
    let target = format!("{}/s@{name}", STREAMS.replace("imagestreams", "imagestreamimages"));
    // The first GETs read the values.
    for _ in 0..3 {
        send(&client, Request::new("GET", &target), 200).await;
    }
    let before = members.reads(0).await;
    for _ in 0..GETS {
        send(&client, Request::new("GET", &target), 200).await;
    }
    let reads = members.reads(0).await - before;
    println!("{GETS} GETs: {reads} reads of etcd");
    assert!((GETS..GETS * 3 / 2).contains(&reads), "{GETS} GETs: {reads} reads of etcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_the_size_and_the_quota_of_etcd() {
    let flags = vec!["--quota-backend-bytes=67108864".to_owned()];
    let members = Members::launch(Settings { flags, ..Settings::of(1) }).await;
    let replica = Replica::start(&members).await;
    let client = replica.server.admin();
    let metric = async |name: &str| {
        let answer = client.send(Request::new("GET", "/metrics")).await;
        let text = String::from_utf8_lossy(&answer.expect("the server responds").body).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse::<u64>().expect("it is a number"))
    };
    let quota = "imagestream_apiserver_storage_quota_bytes";
    let shown = until("the quota is shown", async || metric(quota).await).await;
    let size = metric("apiserver_storage_size_bytes{storage_cluster_id=\"etcd3\"}").await;
    let used = metric("imagestream_apiserver_storage_used_bytes").await;
    assert_eq!(shown, 64 << 20);
    assert!(used > Some(0) && used <= size && size < Some(64 << 20), "{used:?} of {size:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn index_with_more_parts_than_a_transaction_is_imported() {
    const PARTS: usize = 150;
    let mut content = Content::default();
    let mut parts = Vec::new();
    for number in 0..PARTS {
        let image = Image::named(&number.to_string());
        parts.push(json!({
            "mediaType": image.media_type,
            "digest": image.digest.as_str(),
            "size": image.manifest.len(),
            "platform": {"architecture": "amd64", "os": "linux", "variant": format!("v{number}")},
        }));
        content = content.with("a", &format!("part-{number}"), image);
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": parts});
    let manifest = manifest.to_string();
    let digest = Digest::sha256_of(&manifest);
    let index = Image {
        digest: digest.clone(),
        config_digest: Digest::sha256_of(""),
        config: String::new(),
        manifest,
        media_type,
    };
    let content = content.with("a", "index", index);
    let registry = RegistryServer::start(move |request| content.answer(request)).await;
    let members = Members::start(1).await;
    let replica = Replica::start_with(&members, &[LOOPBACK]).await;
    let client = replica.server.admin();
    let import = json!({
        "metadata": {"name": "s"},
        "spec": {"import": true, "images": [{
            "from": {"kind": "DockerImage", "name": format!("{}/a:index", registry.host())},
            "to": {"name": "t"},
            "importPolicy": {"insecure": true, "importMode": "PreserveOriginal"},
        }]},
    });
    let imports = STREAMS.replace("imagestreams", "imagestreamimports");
    let imported = send(&client, Request::new("POST", &imports).json(&import), 201).await;
    assert_eq!(imported["status"]["images"][0]["status"]["status"], "Success", "{imported}");
    let images = send(&client, Request::new("GET", IMAGES), 200).await;
    assert_eq!(images["items"].as_array().map(Vec::len), Some(PARTS + 1));
    let target = format!("{}/s@{digest}", STREAMS.replace("imagestreams", "imagestreamimages"));
    let view = send(&client, Request::new("GET", &target), 200).await;
    assert_eq!(view["image"]["dockerImageManifests"].as_array().map(Vec::len), Some(PARTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_whose_term_was_taken_stores_nothing() {
    let image = Image::named("a");
    let content = Content::default().with("a", "x", image.clone());
    let (asked, mut is_asked) = watch::channel(false);
    let (open, is_open) = watch::channel(false);
    let registry = RegistryServer::start(move |request| {
        if !request.path().contains("/manifests/") {
            return content.answer(request);
        }
        asked.send_replace(true);
        let (mut is_open, manifest) = (is_open.clone(), image.manifest.clone());
        let body = Body::from_stream(stream::once(async move {
            is_open.wait_for(|is_open| *is_open).await.expect("the test goes on");
            Ok::<_, Infallible>(manifest)
        }));
        let mut response = manifest_answer("", Some(&image.digest)).expect("it is a response");
        *response.body_mut() = body;
        Some(response)
    })
    .await;
    let members = Members::start(1).await;
    let replica = Replica::start_with(&members, &[LOOPBACK, "--controllers=*"]).await;
    let client = replica.server.admin();
    let tag = json!({"name": "t", "importPolicy": {"insecure": true},
        "from": {"kind": "DockerImage", "name": format!("{}/a:x", registry.host())}});
    let stream = json!({"metadata": {"name": "s"}, "spec": {"tags": [tag]}});
    send(&client, Request::new("POST", STREAMS).json(&stream), 201).await;
    is_asked.wait_for(|is_asked| *is_asked).await.expect("the import begins");
    // The replica does not learn that its term is over while the import goes on.
    let term = STANDARD.encode("/imagestream-apiserver/term/image-import");
    let deleted = members.call(0, "/v3/kv/deleterange", &json!({"key": term})).await;
    assert_eq!(deleted["deleted"], "1");
    open.send_replace(true);
    let is_refused =
        |line: &String| line.contains("the term of this replica for image-import is over");
    until("a write is refused", async || replica.server.log().into_iter().find(is_refused)).await;
    // The next term imports it, once.
    let target = format!("{STREAMS}/s");
    let items = until("the tag is imported", async || {
        let stored = send(&client, Request::new("GET", &target), 200).await;
        stored.pointer("/status/tags/0/items").and_then(|items| items.as_array().cloned())
    });
    assert_eq!(items.await.len(), 1);
}
