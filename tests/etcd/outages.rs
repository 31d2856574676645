//! Faults, one after the other, while clients work. Each test states what a server responds during
//! the fault, and that it recovers without a restart.

use std::time::Duration;

use serde_json::json;

use crate::link::Condition;
use crate::members::{Members, Settings};
use crate::observation::Observation;
use crate::pki::Authority;
use crate::site::Replica;
use crate::support::client::{Client, Request};
use crate::support::server::TestServer;
use crate::trial::Trial;

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/observed/imagestreams";
/// Longest response of a server without its store.
const LONGEST: Duration = Duration::from_secs(8);
const OK: [Option<u16>; 4] = [Some(200); 4];

#[tokio::test(flavor = "multi_thread")]
async fn killed_leader_is_replaced() {
    let mut trial = Trial::start(Settings::of(3), 1).await;
    let leader = trial.members.wait_for_leader().await;
    trial.members.kill(leader);
    let seen = trial.observe_until("leader killed", Observation::is_served).await;
    assert_eq!(seen.probes(), OK);
    trial.members.start_member(leader);
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_leader_is_replaced() {
    let mut trial = Trial::start(Settings::of(3), 1).await;
    let leader = trial.members.wait_for_leader().await;
    trial.members.pause(leader);
    let seen = trial.observe_until("leader stopped", Observation::is_served).await;
    assert_eq!(seen.probes(), OK);
    trial.members.resume(leader);
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_member_is_avoided_or_waited_for() {
    let mut trial = Trial::start(Settings::of(3), 1).await;
    let slow = Condition::Slow(Duration::from_millis(200));
    let leader = trial.members.wait_for_leader().await;
    trial.replicas[0].set_link(leader, slow);
    trial.members.set_peers(leader, slow);
    let seen = trial.observe_until("leader slow", Observation::is_served).await;
    assert_eq!(seen.probes(), OK);
    trial.replicas[0].set_link(leader, Condition::Open);
    trial.members.set_peers(leader, Condition::Open);
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_moves_from_members_it_cannot_reach() {
    for condition in [Condition::Cut, Condition::Held, Condition::Mute] {
        let mut trial = Trial::start(Settings::of(3), 1).await;
        for members in [[0, 1], [1, 2], [2, 0]] {
            members.into_iter().for_each(|at| trial.replicas[0].set_link(at, condition));
            let seen = trial
                .observe_until(
                    &format!("links to two members {condition:?}"),
                    Observation::is_served,
                )
                .await;
            assert_eq!(seen.probes(), OK);
            trial.set_links(Condition::Open);
        }
        trial.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_moves_from_a_member_that_lost_the_others() {
    for condition in [Condition::Cut, Condition::Held] {
        let mut trial = Trial::start(Settings::of(3), 1).await;
        for member in 0..3 {
            trial.members.set_peers(member, condition);
            let seen = trial
                .observe_until(&format!("peers of a member {condition:?}"), Observation::is_served)
                .await;
            assert_eq!(seen.probes(), OK);
            trial.members.set_peers(member, Condition::Open);
            trial.members.healthy().await;
        }
        trial.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_is_cut_off_is_replaced() {
    let mut trial = Trial::start(Settings::of(3), 2).await;
    let leader = trial.members.wait_for_leader().await;
    trial.members.set_peers(leader, Condition::Held);
    trial.replicas.iter().for_each(|replica| replica.set_link(leader, Condition::Held));
    let seen = trial.observe_until("leader cut off", Observation::is_served).await;
    assert_eq!(seen.probes(), OK);
    trial.members.set_peers(leader, Condition::Open);
    trial.set_links(Condition::Open);
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_only_discovery_is_served() {
    let mut trial = Trial::start(Settings::of(3), 1).await;
    trial.members.pause(0);
    trial.members.pause(1);
    let seen = trial.observe_until("no quorum", is_unavailable).await;
    assert!(seen.longest() < LONGEST, "{seen}");
    trial.members.resume(0);
    trial.members.resume(1);
    trial.end().await;
}

/// Returns true if a server responds as one without its store.
fn is_unavailable(seen: &Observation) -> bool {
    let is_refused = seen.requests().iter().all(|code| matches!(code, Some(503 | 504)));
    is_refused && seen.probes() == [Some(200), Some(500), Some(200), Some(200)]
}

#[tokio::test(flavor = "multi_thread")]
async fn full_etcd_accepts_only_deletions_until_its_alarm_is_off() {
    let mut trial = Trial::start(Settings::of(1), 2).await;
    let [first, second] = [0, 1].map(|at| trial.replicas[at].server.admin());
    let doomed: Vec<String> = (0..5).map(|at| format!("{STREAMS}/doomed-{at}")).collect();
    for at in 0..doomed.len() {
        let stream = json!({"metadata": {"name": format!("doomed-{at}")}});
        let created = first.send(Request::new("POST", STREAMS).json(&stream)).await;
        assert_eq!(created.expect("the server responds").status, 201);
    }
    let alarm = |action: &str| json!({"action": action, "alarm": "NOSPACE"});
    trial.members.call(0, "/v3/maintenance/alarm", &alarm("ACTIVATE")).await;
    let is_full = |seen: &Observation| seen.create.code == Some(507);
    let seen = trial.observe_until("no space", is_full).await;
    assert_eq!([seen.read.code, seen.list.code, seen.cached.code], [Some(200); 3], "{seen}");
    assert!(matches!(seen.delete.code, Some(200 | 404)), "{seen}");
    assert_eq!(seen.probes(), OK, "{seen}");
    for stream in &doomed {
        let status = async |client: &Client, method| {
            let response = client.send(Request::new(method, stream)).await;
            response.expect("the server responds").status
        };
        assert_eq!(status(&second, "GET").await, 200);
        assert_eq!(status(&first, "DELETE").await, 200);
        assert_eq!(status(&second, "GET").await, 404, "a deletion is seen at once");
    }
    trial.members.call(0, "/v3/maintenance/alarm", &alarm("DEACTIVATE")).await;
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_before_its_etcd() {
    let members = Members::start(1).await;
    let replica = Replica::begin(&members, Condition::Cut);
    replica.server.wait_until_listening().await;
    let client = replica.server.admin();
    let seen = Observation::of(&client, "early").await;
    println!("all away at start: {seen}");
    assert!(is_unavailable(&seen) && seen.longest() < LONGEST, "{seen}");
    replica.set_links(Condition::Open);
    replica.server.wait_until_ready().await;
    let seen = Observation::of(&client, "late").await;
    assert_eq!((seen.probes(), seen.create.code), (OK, Some(201)), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_ends_a_watch_that_has_missed_changes() {
    let members = Members::start(1).await;
    let [first, second] = [Replica::start(&members).await, Replica::start(&members).await];
    let watch = Request::new("GET", &format!("{STREAMS}?watch=true"));
    let mut watch = first.server.admin().watch(watch).await;
    Observation::prepare(&first.server.admin()).await;
    // The second server goes on writing while the first one hears nothing.
    first.set_links(Condition::Held);
    let other = second.server.admin();
    for at in 0..20 {
        let stream = json!({"metadata": {"name": format!("missed-{at}")}});
        let created = other.send(Request::new("POST", STREAMS).json(&stream)).await;
        assert_eq!(created.expect("the server responds").status, 201);
    }
    let now = members.call(0, "/v3/kv/range", &json!({"key": "AA=="})).await;
    let compact = json!({"revision": now["header"]["revision"], "physical": true});
    members.call(0, "/v3/kv/compaction", &compact).await;
    first.reset_links().await;
    let mut missed = 0;
    let last = loop {
        let Some(event) = watch.next().await else { break None };
        if event["type"] == "ERROR" {
            break Some(event);
        }
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        missed += u32::from(name.starts_with("missed-"));
        if missed == 20 {
            break None;
        }
    };
    // A watch may deliver every change or say that it cannot, never skip one.
    match last {
        Some(error) => assert_eq!(error["object"]["code"], 410, "{error}"),
        None => assert_eq!(missed, 20),
    }
    println!("compacted: {missed} changes were delivered");
    first.server.wait_until_ready().await;
    let list = first.server.admin().send(Request::new("GET", STREAMS)).await;
    let list = list.expect("the server responds").json().expect("a list is JSON");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(22));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_replaced_without_a_restart() {
    let mut trial = Trial::start(Settings::of(1), 1).await;
    let foreign = Authority::new("foreign-ca").user("client", None);
    let folder = trial.replicas[0].files.key.parent().expect("a file is in a folder").to_owned();
    trial.members.write_client_files(&folder, &foreign);
    trial.replicas[0].reset_links().await;
    let seen = trial.observe_until("credentials refused", is_unavailable).await;
    assert!(seen.longest() < LONGEST, "{seen}");
    trial.members.client_files(&folder);
    trial.end().await;
}
