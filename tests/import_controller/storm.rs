//! Many failing tags: the registry counts the requests.

use std::time::{Duration, Instant};

use crate::registry::{RegistryServer, json_error};
use crate::site::{Site, condition, fast, tag};

/// Requests per second, and those that a registry may get at once: five seconds' worth.
const RATE: (&str, usize) = ("20", 20);
const BURST: usize = 5 * RATE.1;
const STREAMS: usize = 20;
const TAGS: usize = 100;
const TIME: Duration = Duration::from_secs(3);

/// Imports 2,000 tags from a registry that answers all requests for manifests with this status, with
/// a restart in between.
async fn requests(status: u16, code: &'static str) -> (usize, Duration, Site) {
    let server = RegistryServer::start(move |request| match request.path() {
        "/v2/" => json_error(200, "", ""),
        _ => json_error(status, code, "no"),
    })
    .await;
    let mut site = Site::stopped().with_rate(RATE.0);
    for stream in 0..STREAMS {
        let tags = (0..TAGS).map(|at| tag(&at.to_string(), &format!("{}/a:{at}", server.host())));
        site.create(&format!("s{stream}"), tags.collect()).await;
    }
    let started = Instant::now();
    for _ in 0..2 {
        site.start(fast());
        tokio::time::sleep(TIME).await;
        site.stop().await;
    }
    (server.log().len(), started.elapsed(), site)
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tags_stay_within_the_rate_of_their_registry() {
    let (count, time, site) = requests(404, "MANIFEST_UNKNOWN").await;
    // The new process does not know of requests of the old one.
    let most = 2 * BURST + RATE.1 * (time.as_secs() as usize + 1);
    assert!(count > BURST && count <= most, "{count} requests in {time:?}, at most {most}");
    let stream = site.stream("s0").await;
    let conditions = (0..TAGS).filter_map(|at| condition(&stream, &at.to_string()));
    for condition in conditions {
        assert_eq!(condition.reason, "NotFound", "no tag failed for the pace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limited_registry_gets_few_requests() {
    let (count, time, _) = requests(429, "TOOMANYREQUESTS").await;
    let most = 2 * BURST + RATE.1 * (time.as_secs() as usize + 1);
    assert!(count <= most / 2, "{count} requests in {time:?}, at most {}", most / 2);
}
