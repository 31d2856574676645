//! Registries that do not respond delay nobody else.

use std::net::TcpListener;
use std::time::Instant;

use crate::site::{DEADLINE, Site, TestRegistry, condition, images, scheduled, slow};

const STREAMS: usize = 20;
const TAGS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn hanging_registries_delay_no_others() {
    let mut site = Site::stopped();
    // Connections to them are never accepted.
    let hanging: Vec<TcpListener> =
        (0..5).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    for (at, listener) in hanging.iter().enumerate() {
        let host = listener.local_addr().expect("it has an address");
        create(&site, &format!("a-hanging{at}"), &host.to_string()).await;
    }
    let mut registries = Vec::new();
    for at in 0..15 {
        let registry = TestRegistry::start().await;
        (0..TAGS).for_each(|tag| drop(registry.push(&tag.to_string(), &format!("{at}-{tag}"))));
        create(&site, &format!("responding{at}"), &registry.server.host()).await;
        registries.push(registry);
    }
    let started = Instant::now();
    site.start(slow());
    for at in 0..registries.len() {
        for stream in 0..STREAMS {
            let name = format!("responding{at}-{stream}");
            let is_imported = |tag: usize, stream: &_| images(stream, &tag.to_string()).len() == 1;
            site.until(&name, |stream| (0..TAGS).all(|tag| is_imported(tag, stream))).await;
        }
    }
    let took = started.elapsed();
    assert!(took < DEADLINE, "{took:?}");
    let last = site.stream(&format!("a-hanging4-{}", STREAMS - 1)).await;
    assert!(condition(&last, "0").is_none(), "the registries hang until the end of the test");
}

/// Creates streams of scheduled tags from one registry.
async fn create(site: &Site, name: &str, host: &str) {
    for stream in 0..STREAMS {
        let tags = (0..TAGS).map(|tag| scheduled(&tag.to_string(), &format!("{host}/a:{tag}")));
        site.create(&format!("{name}-{stream}"), tags.collect()).await;
    }
}
