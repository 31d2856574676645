//! Lists, watches and limits across replicas.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use crate::members::Members;
use crate::site::Replica;
use crate::support::client::{Answer, Client, Request};
use crate::support::server::TestServer;

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreams";
const NO_FLAGS: [&str; 0] = [];

/// Two replicas of one store, and a client of each.
struct Pair {
    members: Members,
    replicas: [Replica; 2],
}

impl Pair {
    async fn start(flags: &[&str]) -> Self {
        let members = Members::start(1).await;
        let replicas = Replica::start_two(&members, flags).await;
        Self { members, replicas }
    }

    /// The client of the replica with this number, modulo two.
    fn client(&self, number: usize) -> Client {
        self.replicas[number % 2].server.admin()
    }

    async fn get(&self, number: usize, target: &str) -> Answer {
        answer(self.client(number).send(Request::new("GET", target)).await)
    }

    async fn create(&self, number: usize, name: &str) -> Answer {
        let stream = json!({"metadata": {"name": name}});
        let request = Request::new("POST", STREAMS).json(&stream);
        answer(self.client(number).send(request).await)
    }

    /// Creates streams through both replicas in turn. Returns the revision of the last one.
    async fn create_all(&self, names: impl IntoIterator<Item = String>) -> u64 {
        let mut last = 0;
        for (number, name) in names.into_iter().enumerate() {
            let created = self.create(number, &name).await;
            assert_eq!(created.status, 201);
            last = revision(&json(&created));
        }
        last
    }

    /// Sets an annotation of a stream.
    async fn change(&self, number: usize, name: &str, value: &str) -> Answer {
        let patch = json!({"metadata": {"annotations": {"value": value}}});
        let mut request = Request::new("PATCH", &format!("{STREAMS}/{name}"))
            .header("content-type", "application/merge-patch+json");
        request.body = Some(patch.to_string().into_bytes());
        answer(self.client(number).send(request).await)
    }

    /// Compacts etcd up to its latest revision.
    async fn compact(&self) {
        let now = self.members.call(0, "/v3/kv/range", &json!({"key": "AA=="})).await;
        let compact = json!({"revision": now["header"]["revision"], "physical": true});
        self.members.call(0, "/v3/kv/compaction", &compact).await;
    }
}

fn answer(sent: io::Result<Answer>) -> Answer {
    sent.expect("the server responds")
}

fn json(answer: &Answer) -> Value {
    answer.json().expect("a response is JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn revision(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"]).parse().expect("it has a revision")
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("a list has items").iter();
    items.map(|item| text(&item["metadata"]["name"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn list_goes_on_at_its_revision_on_another_replica() {
    let pair = Pair::start(&NO_FLAGS).await;
    let expected: Vec<String> = (0..20).map(|at| format!("old-{at:02}")).collect();
    pair.create_all(expected.iter().cloned()).await;
    let (mut found, mut revisions, mut token) = (Vec::new(), Vec::new(), String::new());
    for number in 0.. {
        let page = pair.get(number, &format!("{STREAMS}?limit=3&continue={token}")).await;
        let page = json(&page);
        found.extend(names(&page));
        revisions.push(revision(&page));
        token = text(&page["metadata"]["continue"]);
        if token.is_empty() {
            break;
        }
        // The list must not show these changes.
        assert_eq!(pair.create(number, &format!("old-{number:02}-new")).await.status, 201);
        let gone = Request::new("DELETE", &format!("{STREAMS}/old-{:02}", 19 - number));
        assert_eq!(answer(pair.client(number).send(gone).await).status, 200);
    }
    assert_eq!(found, expected);
    assert!(revisions.len() > 5 && revisions.iter().all(|each| *each == revisions[0]));
    // Both replicas show the same list at one revision.
    let at = format!("{STREAMS}?resourceVersion={}&resourceVersionMatch=Exact", revisions[0]);
    for number in 0..2 {
        assert_eq!(names(&json(&pair.get(number, &at).await)), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_resumes_on_another_replica_without_gap_or_repeat() {
    let pair = Pair::start(&NO_FLAGS).await;
    let mut after = pair.create_all((0..4).map(|at| format!("s{at}"))).await;
    let (mut made, mut seen) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let query = format!("{STREAMS}?watch=true&resourceVersion={after}");
        let mut watch = pair.client(round).watch(Request::new("GET", &query)).await;
        // Some changes come through the watch, and some are made while nobody watches.
        for number in 0..6 {
            let name = format!("s{}", (round + number) % 4);
            let changed = pair.change(number, &name, &format!("{round}-{number}")).await;
            made.push(revision(&json(&changed)));
        }
        for _ in 0..4 {
            let event = watch.next().await.expect("the watch is open");
            assert_eq!(event["type"], "MODIFIED", "{event}");
            after = revision(&event["object"]);
            seen.push(after);
        }
    }
    let query = format!("{STREAMS}?watch=true&resourceVersion={after}");
    let mut watch = pair.client(1).watch(Request::new("GET", &query)).await;
    while seen.len() < made.len() {
        let event = watch.next().await.expect("the watch is open");
        seen.push(revision(&event["object"]));
    }
    assert_eq!(seen, made);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_answers_410_for_a_compacted_revision() {
    let pair = Pair::start(&NO_FLAGS).await;
    let old = pair.create_all((0..6).map(|at| format!("s{at}"))).await;
    let mut tokens = Vec::new();
    for number in 0..2 {
        let page = json(&pair.get(number, &format!("{STREAMS}?limit=2")).await);
        tokens.push(text(&page["metadata"]["continue"]));
    }
    pair.change(0, "s0", "1").await;
    pair.change(1, "s1", "1").await;
    pair.compact().await;
    for number in 0..2 {
        for token in &tokens {
            let page = pair.get(number, &format!("{STREAMS}?limit=2&continue={token}")).await;
            assert_eq!((page.status, text(&json(&page)["reason"])), (410, "Expired".to_owned()));
        }
    }
    // A replica can still have the changes in memory. A new one reads them from etcd.
    let fresh = Replica::start(&pair.members).await;
    let query = format!("{STREAMS}?watch=true&resourceVersion={old}");
    let mut watch = fresh.server.admin().watch(Request::new("GET", &query)).await;
    let event = watch.next().await.expect("the watch tells why it ends");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    for number in 0..2 {
        let mut watch = pair.client(number).watch(Request::new("GET", &query)).await;
        let event = watch.next().await.expect("the watch delivers events, or tells why not");
        let is_expired = event["object"]["code"] == 410;
        assert!(is_expired || text(&event["object"]["metadata"]["name"]) == "s0", "{event}");
    }
}

/// As the table in OPERATIONS.md says: each replica counts the objects of others once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn object_quota_is_exceeded_by_one_quota_for_each_other_replica() {
    const QUOTA: usize = 10;
    let pair = Pair::start(&["--max-objects-per-namespace=10"]).await;
    // Both replicas count the namespace while it has at most two objects.
    pair.create_all((0..2).map(|at| format!("first-{at}"))).await;
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for number in 0..2 {
        for at in 0..2 * QUOTA {
            let created = pair.create(number, &format!("s-{number}-{at}")).await;
            *codes.entry(created.status).or_default() += 1;
        }
    }
    assert!(codes.keys().all(|code| [201, 403].contains(code)), "{codes:?}");
    let stored = names(&json(&pair.get(0, STREAMS).await)).len();
    println!("{stored} objects with a quota of {QUOTA} on two replicas");
    assert!((QUOTA..=2 * QUOTA).contains(&stored), "{stored}");
    // Any new count ends the excess.
    let fresh = Replica::start_with(&pair.members, &["--max-objects-per-namespace=10"]).await;
    let stream = json!({"metadata": {"name": "last"}});
    let refused = fresh.server.admin().send(Request::new("POST", STREAMS).json(&stream)).await;
    assert_eq!(answer(refused).status, 403);
}

/// As the table in OPERATIONS.md says: each replica has a bucket of its own.
#[tokio::test(flavor = "multi_thread")]
async fn history_rate_is_that_of_one_replica_for_each() {
    const BURST: usize = 256 << 10;
    const SIZE: usize = 32 << 10;
    // A quarter at once, and nearly nothing in the time of the test.
    let flags = ["--max-history-bytes-per-namespace=1048576", "--compaction-retention=24h"];
    let pair = Pair::start(&flags).await;
    pair.create_all(["s".to_owned()]).await;
    let mut written = [0; 2];
    for (number, bytes) in written.iter_mut().enumerate() {
        for at in 0..4 * BURST / SIZE {
            let value = char::from(b'a' + at as u8 % 26).to_string().repeat(SIZE);
            let changed = pair.change(number, "s", &value).await;
            if changed.status == 429 {
                assert!(changed.header("retry-after").is_some(), "it names the time");
                break;
            }
            assert_eq!(changed.status, 200);
            *bytes += SIZE;
        }
    }
    println!("{written:?} bytes on two replicas with a burst of {BURST}");
    for bytes in written {
        // A write is admitted while the bucket is not empty, and its key counts too.
        assert!((BURST - 2 * SIZE..=BURST + SIZE).contains(&bytes), "{written:?}");
    }
}
