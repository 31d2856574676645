//! First imports, scheduled checks and their cost.

use imagestream_apiserver::api::ImageStream;

use crate::site::{Site, TestRegistry, eventually, fast, images, scheduled, slow, tag};

#[tokio::test]
async fn new_tags_are_imported_with_their_policies() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    let site = Site::new(slow());
    let mut local = tag("t", &registry.source("x"));
    local.reference_policy.r#type = "Local".into();
    site.create("s", vec![local]).await;
    let stream = site.until("s", |stream| !images(stream, "t").is_empty()).await;
    assert_eq!(images(&stream, "t"), std::slice::from_ref(&image));
    assert_eq!(stream.spec.tags[0].reference_policy.r#type, "Local");
    let stored = site.client.images().get(&image).await.unwrap().expect("the image is stored");
    assert!(stored.docker_image_manifest.is_empty() && !stored.docker_image_layers.is_empty());
}

#[tokio::test]
async fn existing_streams_are_imported_after_a_start() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    let mut site = Site::stopped();
    site.create("s", vec![tag("t", &registry.source("x"))]).await;
    site.start(slow());
    site.until("s", |stream| images(stream, "t") == [image.clone()]).await;
}

#[tokio::test]
async fn scheduled_tag_follows_its_source() {
    let registry = TestRegistry::start().await;
    let first = registry.push("x", "one");
    let site = Site::new(fast());
    let tags = vec![scheduled("t", &registry.source("x")), tag("once", &registry.source("x"))];
    site.create("s", tags).await;
    site.until("s", |stream| images(stream, "once") == [first.clone()]).await;
    let second = registry.push("x", "two");
    site.until("s", |stream| images(stream, "t") == [second.clone(), first.clone()]).await;
    let third = registry.push("x", "three");
    let stream = site.until("s", |stream| images(stream, "t").len() == 3).await;
    assert_eq!(images(&stream, "t")[0], third);
    assert_eq!(images(&stream, "once"), [first], "it is not scheduled");
    assert!(stream.spec.tags.iter().any(|tag| tag.import_policy.scheduled));
}

#[tokio::test]
async fn unchanged_source_costs_one_head_and_no_write() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    let site = Site::new(fast());
    site.create("s", vec![scheduled("t", &registry.source("x"))]).await;
    site.until("s", |stream| images(stream, "t") == [image.clone()]).await;
    let (before, gets) = (site.revision().await, registry.count("GET"));
    eventually("checks go on", || registry.count("HEAD") >= 5).await;
    assert_eq!((site.revision().await, registry.count("GET")), (before, gets));
}

#[tokio::test]
async fn list_is_recognized_by_its_own_digest() {
    let registry = TestRegistry::start().await;
    let site = Site::new(fast());
    let list = registry.push_list("x", "one");
    site.create("s", vec![scheduled("t", &registry.source("x"))]).await;
    let stream = site.until("s", |stream| !images(stream, "t").is_empty()).await;
    assert_ne!(images(&stream, "t"), [list], "one image represents the list");
    let gets = registry.count("GET");
    eventually("checks go on", || registry.count("HEAD") >= 5).await;
    assert_eq!(registry.count("GET"), gets);
}

#[tokio::test]
async fn repository_is_imported_once() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    registry.push("y", "two");
    let site = Site::new(fast());
    let mut stream = ImageStream::default();
    stream.metadata.name = "s".into();
    let insecure = "openshift.io/image.insecureRepository".to_owned();
    stream.metadata.annotations.insert(insecure, "true".into());
    stream.spec.docker_image_repository = format!("{}/a", registry.server.host());
    registry.set_gone(true);
    site.client.image_streams("ns").create(stream).await.unwrap();
    eventually("the list is requested", || registry.server.log().len() > 5).await;
    registry.set_gone(false);
    let checked = "openshift.io/image.dockerRepositoryCheck";
    let stream = site.until("s", |stream| stream.metadata.annotations.contains_key(checked)).await;
    assert_eq!(images(&stream, "x"), [image]);
    assert_eq!(stream.spec.tags.len(), 2);
    let lists = || registry.server.targets().iter().filter(|it| it.contains("tags/list")).count();
    let before = lists();
    registry.push("z", "three");
    site.create("other", vec![scheduled("t", &registry.source("x"))]).await;
    eventually("time passes", || registry.count("HEAD") >= 5).await;
    assert_eq!(lists(), before);
}

#[tokio::test]
async fn digest_is_imported_once() {
    let registry = TestRegistry::start().await;
    let image = registry.push("x", "one");
    let site = Site::new(fast());
    let source = format!("{}/a@{image}", registry.server.host());
    site.create("s", vec![scheduled("t", &source)]).await;
    site.until("s", |stream| images(stream, "t") == [image.clone()]).await;
    let requests = registry.server.log().len();
    site.create("other", vec![scheduled("t", &registry.source("x"))]).await;
    eventually("time passes", || registry.count("HEAD") >= 5).await;
    let digests = registry.server.targets();
    let again = digests[requests..].iter().filter(|it| it.ends_with(&image)).count();
    assert_eq!(again, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tags_of_a_stream_are_imported_in_few_writes() {
    let registry = TestRegistry::start().await;
    let names: Vec<String> = (0..200).map(|at| format!("t{at}")).collect();
    let tags = names.iter().map(|name| {
        registry.push(name, name);
        tag(name, &registry.source(name))
    });
    let tags = tags.collect();
    let site = Site::new(slow());
    site.create("s", tags).await;
    let before = site.revision().await;
    site.until("s", |stream| names.iter().all(|name| images(stream, name).len() == 1)).await;
    let writes = site.revision().await.0 - before.0;
    assert!(writes <= 5, "{writes} writes");
}
