//! Elections of the replica that runs a controller: hand-over after SIGTERM, SIGKILL and SIGSTOP.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::interval;

use crate::members::Members;
use crate::registry::{Content, Image, RegistryServer};
use crate::site::Replica;
use crate::support::client::Request;
use crate::support::server::TestServer;
use crate::terms::{assert_never_two, terms};

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams";
/// Longest time without a controller, after SIGTERM and after SIGKILL.
const HANDOVER: SignedDuration = SignedDuration::from_secs(1);
const TAKEOVER: SignedDuration = SignedDuration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(40);
const INTERVAL: Duration = Duration::from_millis(10);
/// The delay is longer than a hand-over may take: the drain of requests must not hold it up.
const FLAGS: [&str; 3] =
    ["--controllers=*", "--import-allow-cidrs=127.0.0.0/8", "--shutdown-delay-duration=3s"];

/// Two replicas, of which one runs the import controller.
struct Site {
    _members: Members,
    replicas: [Replica; 2],
    registry: RegistryServer,
}

impl Site {
    async fn start() -> Self {
        let members = Members::start(1).await;
        let replicas = Replica::start_two(&members, &FLAGS).await;
        let content = Content::default().with("a", "latest", Image::named("a"));
        let registry = RegistryServer::start(move |request| content.answer(request)).await;
        Self { _members: members, replicas, registry }
    }

    /// The replica that is elected now, and the beginning of its term. Waits for one.
    async fn holder(&self) -> (usize, Timestamp) {
        self.elected_of(&[0, 1]).await
    }

    /// Waits until one of these replicas is elected.
    async fn elected_of(&self, replicas: &[usize]) -> (usize, Timestamp) {
        let (begun, mut ticks) = (Instant::now(), interval(INTERVAL));
        loop {
            ticks.tick().await;
            for at in replicas {
                let last = terms(&self.replicas[*at].server).pop();
                if let Some(term) = last.filter(|term| term.to.is_none()) {
                    return (*at, term.from);
                }
            }
            assert!(begun.elapsed() < DEADLINE, "none of {replicas:?} is elected");
        }
    }

    /// Waits until a replica has no term any more.
    async fn resigned(&self, at: usize) {
        let (begun, mut ticks) = (Instant::now(), interval(INTERVAL));
        while terms(&self.replicas[at].server).iter().any(|term| term.to.is_none()) {
            assert!(begun.elapsed() < DEADLINE, "replica {at} is still elected");
            ticks.tick().await;
        }
    }

    /// Creates a stream through a replica, and waits until the controller has imported its tag.
    async fn imports(&self, at: usize, name: &str) {
        let client = self.replicas[at].server.admin();
        let from = json!({"kind": "DockerImage", "name": format!("{}/a", self.registry.host())});
        let tag = json!({"name": "latest", "from": from, "importPolicy": {"insecure": true}});
        let stream = json!({"metadata": {"name": name}, "spec": {"tags": [tag]}});
        let created = client.send(Request::new("POST", STREAMS).json(&stream)).await;
        assert_eq!(created.expect("the server responds").status, 201);
        let (begun, mut ticks) = (Instant::now(), interval(INTERVAL));
        loop {
            ticks.tick().await;
            let read = client.send(Request::new("GET", &format!("{STREAMS}/{name}"))).await;
            let read = read.expect("the server responds").json().expect("it is JSON");
            if read["status"]["tags"][0]["items"][0]["image"].is_string() {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "not imported: {read}");
        }
    }

    /// Panics if two replicas were elected at the same time.
    fn assert_never_two(&self) {
        assert_never_two(self.replicas.iter().flat_map(Replica::terms).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_moves_within_a_second_of_sigterm() {
    let mut site = Site::start().await;
    let (holder, _) = site.holder().await;
    let other = 1 - holder;
    site.imports(other, "before").await;
    let asked = Timestamp::now();
    site.replicas[holder].server.send_sigterm();
    let (_, from) = site.elected_of(&[other]).await;
    let took = from.duration_since(asked);
    println!("hand-over after SIGTERM: {took:?}");
    assert!(took <= HANDOVER, "{took:?}");
    site.imports(other, "after").await;
    site.replicas[holder].end().await;
    site.replicas[holder].start_again().await;
    site.imports(holder, "later").await;
    site.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_moves_within_15_seconds_of_sigkill() {
    let mut site = Site::start().await;
    let (holder, _) = site.holder().await;
    let other = 1 - holder;
    let killed = Timestamp::now();
    site.replicas[holder].kill();
    let (_, from) = site.elected_of(&[other]).await;
    let took = from.duration_since(killed);
    println!("hand-over after SIGKILL: {took:?}");
    assert!(took <= TAKEOVER, "{took:?}");
    site.imports(other, "after").await;
    site.replicas[holder].start_again().await;
    site.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_replica_does_not_return_to_a_lost_term() {
    let site = Site::start().await;
    let (holder, _) = site.holder().await;
    let other = 1 - holder;
    let stopped = Timestamp::now();
    site.replicas[holder].pause();
    let (_, from) = site.elected_of(&[other]).await;
    let took = from.duration_since(stopped);
    println!("hand-over after SIGSTOP: {took:?}");
    assert!(took <= TAKEOVER, "{took:?}");
    site.imports(other, "after").await;
    site.replicas[holder].resume();
    let resumed = Timestamp::now();
    site.resigned(holder).await;
    let noticed = terms(&site.replicas[holder].server).pop().and_then(|term| term.to);
    let noticed = noticed.expect("the term has ended").duration_since(resumed);
    println!("noticed after {noticed:?}");
    assert!(noticed <= HANDOVER, "{noticed:?}");
    assert_eq!(site.holder().await.0, other);
}
