//! Failed imports: conditions, retries and recovery.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use imagestream_apiserver::domain::import::{DelayRange, RetryPolicy};

use crate::registry::{Content, Image, RegistryServer, answer, json_error};
use crate::site::{
    DEADLINE, Site, TestRegistry, condition, eventually, fast, images, scheduled, slow, tag,
};

#[tokio::test(flavor = "multi_thread")]
async fn many_equal_failures_write_the_stream_once() {
    let registry = TestRegistry::start().await;
    let delay = Duration::from_millis(1);
    let delays = DelayRange { first: delay, longest: delay };
    registry.push("other", "other");
    let site = Site::new(RetryPolicy { transient: delays, refused: delays, ..slow() });
    site.create("s", vec![tag("t", &registry.source("missing"))]).await;
    let stream = site.until("s", |stream| condition(stream, "t").is_some()).await;
    let failure = condition(&stream, "t").unwrap();
    assert_eq!((failure.status.as_str(), failure.reason.as_str()), ("False", "NotFound"));
    let source = registry.source("missing");
    let text = format!("dockerimage.image.openshift.io \"{source}\" not found");
    assert_eq!(failure.message, text);
    assert_eq!(stream.spec.tags[0].generation, Some(failure.generation), "nothing is pending");
    let before = site.revision().await;
    eventually("retries go on", || registry.count("GET") >= 500).await;
    assert_eq!(site.revision().await, before);
    let image = registry.push("missing", "one");
    let stream = site.until("s", |stream| images(stream, "t") == [image.clone()]).await;
    assert!(condition(&stream, "t").is_none());
}

#[tokio::test]
async fn registry_that_returns_leaves_no_failure() {
    let registry = TestRegistry::start().await;
    let (old, other) = (registry.push("x", "one"), registry.push("y", "other"));
    let site = Site::new(fast());
    site.create("s", vec![scheduled("t", &registry.source("x"))]).await;
    site.until("s", |stream| images(stream, "t") == [old.clone()]).await;
    registry.set_gone(true);
    site.create("late", vec![tag("t", &registry.source("y"))]).await;
    let is_failed = |stream: &_| condition(stream, "t").is_some();
    let failed = site.until("s", is_failed).await;
    assert_eq!(images(&failed, "t"), std::slice::from_ref(&old), "the last good image stays");
    site.until("late", is_failed).await;
    registry.set_gone(false);
    let new = registry.push("x", "two");
    let stream = site.until("s", |stream| images(stream, "t").len() == 2).await;
    assert_eq!((images(&stream, "t"), condition(&stream, "t")), (vec![new, old], None));
    site.until("late", |stream| images(stream, "t") == [other.clone()]).await;
}

#[tokio::test]
async fn server_errors_are_repeated_until_they_stop() {
    let (failures, content) = (Arc::new(AtomicUsize::new(5)), Content::default());
    let content = content.with("a", "x", Image::named("one"));
    let left = failures.clone();
    let server = RegistryServer::start(move |request| {
        let is_manifest = request.path().contains("/manifests/");
        let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(usize::from(is_manifest))
        });
        match fails {
            Ok(_) if is_manifest => answer(500, &[], ""),
            _ => content.answer(request),
        }
    })
    .await;
    let site = Site::new(fast());
    site.create("s", vec![tag("t", &format!("{}/a:x", server.host()))]).await;
    let stream = site.until("s", |stream| condition(stream, "t").is_some()).await;
    let failure = condition(&stream, "t").unwrap();
    assert!(failure.message.ends_with("500 Internal Server Error"), "{}", failure.message);
    site.until("s", |stream| !images(stream, "t").is_empty()).await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    const PAUSE: Duration = Duration::from_secs(2);
    let times = Arc::<Mutex<Vec<Instant>>>::default();
    let (seen, content) = (times.clone(), Content::default().with("a", "x", Image::named("one")));
    let server = RegistryServer::start(move |request| {
        if !request.path().contains("/manifests/") {
            return content.answer(request);
        }
        let mut seen = seen.lock().expect("no test panics with it");
        seen.push(Instant::now());
        match seen.len() {
            1 => answer(429, &[("retry-after", "2")], ""),
            _ => content.answer(request),
        }
    })
    .await;
    let site = Site::new(fast());
    site.create("s", vec![tag("t", &format!("{}/a:x", server.host()))]).await;
    site.until("s", |stream| !images(stream, "t").is_empty()).await;
    let times = times.lock().expect("no test panics with it");
    let pause = times[1] - times[0];
    assert!(pause >= PAUSE, "{pause:?}");
}

#[tokio::test]
async fn secret_that_is_added_later_is_used_at_once() {
    let content = Content::default().with("a", "x", Image::named("one"));
    let expected = format!("Basic {}", BASE64_STANDARD.encode("user:secret"));
    let server = RegistryServer::start(move |request| {
        if request.authorization() == expected {
            return content.answer(request);
        }
        match request.path() {
            "/v2/" => answer(401, &[("www-authenticate", "Basic realm=\"registry\"")], ""),
            _ => json_error(401, "UNAUTHORIZED", "authentication required"),
        }
    })
    .await;
    let site = Site::new(slow());
    site.create("s", vec![tag("t", &format!("{}/a:x", server.host()))]).await;
    let stream = site.until("s", |stream| condition(stream, "t").is_some()).await;
    assert_eq!(condition(&stream, "t").unwrap().reason, "Unauthorized");
    site.add_secret("ns", &server.host(), "user", "secret");
    site.until("s", |stream| !images(stream, "t").is_empty()).await;
}

#[tokio::test]
async fn failed_tags_are_spread_over_an_interval_after_a_start() {
    let registry = TestRegistry::start().await;
    let mut site = Site::new(slow());
    for at in 0..50 {
        site.create(&format!("s{at}"), vec![tag("t", &registry.source("missing"))]).await;
    }
    for at in 0..50 {
        site.until(&format!("s{at}"), |stream| condition(stream, "t").is_some()).await;
    }
    site.stop().await;
    let before = registry.count("GET");
    let interval = Duration::from_secs(4);
    site.start(RetryPolicy { interval, ..slow() });
    let started = Instant::now();
    eventually("the first retry", || registry.count("GET") > before).await;
    eventually("half of the retries", || registry.count("GET") >= before + 25).await;
    let half = started.elapsed();
    assert!(half > interval / 8 && half < DEADLINE, "{half:?}");
    eventually("all retries", || registry.count("GET") == before + 50).await;
}
