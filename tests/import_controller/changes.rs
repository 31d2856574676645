//! Changes of streams during imports, and restarts of the controller.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::registry::content::manifest_answer;
use crate::registry::{Content, Image, RegistryServer};
use crate::site::{
    DEADLINE, Site, TestRegistry, condition, eventually, fast, images, scheduled, slow, tag,
};

/// A registry that holds back the manifest of the tag `held` until a test releases it.
struct HeldRegistry {
    server: RegistryServer,
    requested: Arc<Notify>,
    release: Arc<Notify>,
}

impl HeldRegistry {
    async fn start() -> Self {
        let (requested, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let held = Image::named("held");
        let content = Content::default().with("a", "held", held.clone());
        let content = content.with("a", "free", Image::named("free"));
        let (notified, waiting) = (requested.clone(), release.clone());
        let server = RegistryServer::start(move |request| {
            if !request.path().ends_with("/manifests/held") {
                return content.answer(request);
            }
            notified.notify_one();
            let (waiting, manifest) = (waiting.clone(), held.manifest.clone());
            let body = Body::from_stream(futures_util::stream::once(async move {
                waiting.notified().await;
                Ok::<_, std::convert::Infallible>(manifest)
            }));
            let mut response = manifest_answer("", Some(&held.digest)).expect("it is a response");
            *response.body_mut() = body;
            Some(response)
        })
        .await;
        Self { server, requested, release }
    }

    fn source(&self, tag: &str) -> String {
        format!("{}/a:{tag}", self.server.host())
    }

    async fn until_requested(&self) {
        timeout(DEADLINE, self.requested.notified()).await.expect("the manifest is requested");
    }
}

#[tokio::test]
async fn result_for_a_changed_tag_is_dropped() {
    let registry = HeldRegistry::start().await;
    let site = Site::new(slow());
    site.create("s", vec![tag("t", &registry.source("held")), tag("u", &registry.source("held"))])
        .await;
    registry.until_requested().await;
    let streams = site.client.image_streams("ns");
    let free = registry.source("free");
    let change = |stream: &mut imagestream_apiserver::api::ImageStream| {
        stream.spec.tags[0].from.as_mut().expect("it has a source").name.clone_from(&free);
    };
    streams.update("s", change).await.expect("the stream exists");
    registry.release.notify_one();
    let (held, free) = (Image::named("held").digest, Image::named("free").digest);
    let stream = site.until("s", |stream| !images(stream, "t").is_empty()).await;
    assert_eq!(images(&stream, "t"), [free.to_string()]);
    site.until("s", |stream| images(stream, "u") == [held.to_string()]).await;
}

#[tokio::test]
async fn deleted_stream_stays_deleted() {
    let registry = HeldRegistry::start().await;
    let site = Site::new(slow());
    site.create("s", vec![tag("t", &registry.source("held"))]).await;
    registry.until_requested().await;
    site.delete("s").await;
    let before = site.revision().await;
    registry.release.notify_one();
    site.create("other", vec![tag("t", &registry.source("free"))]).await;
    site.until("other", |stream| !images(stream, "t").is_empty()).await;
    assert!(site.client.image_streams("ns").get("s").await.expect("the store works").is_none());
    // The other stream was created and imported.
    assert_eq!(site.revision().await.0, before.0 + 2);
}

#[tokio::test]
async fn stopped_import_stores_nothing_and_is_repeated() {
    let registry = HeldRegistry::start().await;
    let mut site = Site::new(slow());
    site.create("s", vec![tag("t", &registry.source("held")), tag("u", &registry.source("free"))])
        .await;
    registry.until_requested().await;
    let before = site.revision().await;
    site.stop().await;
    registry.release.notify_one();
    assert_eq!(site.revision().await, before);
    registry.release.notify_one();
    site.start(slow());
    let stream = site.until("s", |stream| !images(stream, "t").is_empty()).await;
    assert_eq!(images(&stream, "u").len(), 1);
}

#[tokio::test]
async fn changed_tag_is_imported_at_once() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    let site = Site::new(slow());
    site.create("s", vec![tag("t", &registry.source("missing"))]).await;
    site.until("s", |stream| condition(stream, "t").is_some()).await;
    let source = registry.source("x");
    let change = |stream: &mut imagestream_apiserver::api::ImageStream| {
        stream.spec.tags[0].from.as_mut().expect("it has a source").name.clone_from(&source);
    };
    site.client.image_streams("ns").update("s", change).await.expect("the stream exists");
    site.until("s", |stream| images(stream, "t") == [image.clone()]).await;
    // The same import is requested again.
    let again = |stream: &mut imagestream_apiserver::api::ImageStream| {
        stream.spec.tags[0].generation = Some(0);
    };
    let before = registry.count("GET");
    site.client.image_streams("ns").update("s", again).await.expect("the stream exists");
    eventually("it is imported again", || registry.count("GET") > before).await;
}

#[tokio::test]
async fn checks_go_on_after_a_restart() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    let mut site = Site::new(fast());
    site.create("s", vec![scheduled("t", &registry.source("x"))]).await;
    site.until("s", |stream| images(stream, "t") == [image.clone()]).await;
    site.stop().await;
    let (heads, gets) = (registry.count("HEAD"), registry.count("GET"));
    site.start(fast());
    eventually("checks go on", || registry.count("HEAD") >= heads + 3).await;
    assert_eq!(registry.count("GET"), gets, "the source is known from the store");
    tokio::time::timeout(Duration::from_secs(1), site.stop()).await.expect("it stops at once");
}
