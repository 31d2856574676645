//! Run of many clients and watchers beside faults, and the check of its history.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::caller::Caller;
use super::record::{Call, Collection, History, Object, Operation, Response, Revision, Watch};
use super::site::Site;
use super::wire::{self, Page};
use crate::support::client::Client;

/// Longest wait for the end of all watches after the last write.
const DEADLINE: Duration = Duration::from_secs(90);
/// First number of the objects that end a run.
const LAST: u64 = 1 << 20;
/// Environment variable that repeats the random choices of a run.
const SEED: &str = "HISTORY_SEED";

/// A run in progress.
pub(crate) struct Campaign {
    pub(crate) site: Arc<Site>,
    pub(crate) random: Rng,
    begun: Instant,
    start: Revision,
    callers: JoinSet<Vec<Operation>>,
    watchers: JoinSet<Vec<Watch>>,
    last: BTreeMap<Collection, watch::Sender<Option<Revision>>>,
}

impl Campaign {
    /// Starts clients on servers that are ready and share an empty store.
    pub(crate) async fn start(servers: Vec<Client>, callers: usize, patience: Duration) -> Self {
        let seed = env::var(SEED).map_or_else(
            |_| Rng::new().u64(..1 << 32),
            |text| text.parse().expect("HISTORY_SEED is a number"),
        );
        println!("{SEED}={seed}");
        let mut random = Rng::with_seed(seed);
        let start = revision(&servers[0]).await;
        let site = Arc::new(Site::new(servers, patience));
        let mut campaign = Self {
            site: site.clone(),
            random: random.fork(),
            begun: Instant::now(),
            start,
            callers: JoinSet::new(),
            watchers: JoinSet::new(),
            last: BTreeMap::new(),
        };
        for collection in Collection::ALL {
            let (sender, last) = watch::channel(None);
            campaign.last.insert(collection, sender);
            for server in 0..site.size() {
                let random = random.fork();
                let (site, last) = (site.clone(), last.clone());
                let watcher = super::watcher::Watcher::new(site, random, collection, server, last);
                campaign.watchers.spawn(watcher.run(start));
            }
        }
        for _ in 0..callers {
            campaign.callers.spawn(Caller::new(site.clone(), random.fork()).run());
        }
        campaign
    }

    /// Ends the run on servers that are all ready: waits for clients and watches, and reads
    /// everything once more. Returns the history. Panics if a watch does not arrive at the end.
    pub(crate) async fn finish(mut self) -> History {
        self.site.stop();
        let mut history = History { start: self.start, ..History::default() };
        while let Some(operations) = self.callers.join_next().await {
            history.operations.extend(operations.expect("no client panics"));
        }
        let mut reader = Caller::new(self.site.clone(), self.random.fork());
        for (collection, sender) in &self.last {
            let (operations, last) = end(&mut reader, *collection).await;
            history.operations.extend(operations);
            sender.send_replace(Some(last));
        }
        for server in 0..self.site.size() {
            reader.connect(server).await.expect("the server is ready");
            for collection in Collection::ALL {
                reader.list(collection).await;
            }
        }
        history.operations.extend(reader.take());
        let watches = async {
            while let Some(watches) = self.watchers.join_next().await {
                history.watches.extend(watches.expect("no watcher panics"));
            }
        };
        timeout(DEADLINE, watches).await.expect("every watch arrives at the last revision");
        println!("{}", summary(&history, &self.site, self.begun.elapsed()));
        history
    }
}

/// Panics if a history breaks a rule. Shows the operations of the first violations.
#[track_caller]
pub(crate) fn assert_valid(history: &History) {
    const SHOWN: usize = 10;
    let violations = super::check(history);
    let shown = violations.iter().take(SHOWN).map(|violation| {
        let operations = history.operations.iter();
        let of_it = operations.filter(|each| violation.names(each.number));
        format!("{violation:?}: {:?}", of_it.collect::<Vec<_>>())
    });
    let shown: Vec<String> = shown.collect();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), shown.join("\n"));
}

/// Creates a last object. Returns all attempts and the revision of the successful one.
async fn end(reader: &mut Caller, collection: Collection) -> (Vec<Operation>, Revision) {
    let begun = Instant::now();
    let mut all = Vec::new();
    for number in LAST.. {
        let object = match collection {
            Collection::Streams => Object::Stream(number),
            Collection::Images => Object::Image(number),
        };
        reader.plain(Call::Create(object)).await;
        let operations = reader.take();
        let created = operations.last().map(|last| last.response.clone());
        all.extend(operations);
        if let Some(Response::Object(version)) = created {
            return (all, version.revision);
        }
        assert!(begun.elapsed() < DEADLINE, "the servers do not take writes again: {created:?}");
    }
    unreachable!("the loop has no end")
}

/// The current revision of a server.
async fn revision(server: &Client) -> Revision {
    let request = wire::page(Collection::Images, Some(1), None);
    let answer = server.send(request).await.expect("the server responds");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    Page::of(&answer).revision
}

/// Counts of a history, and failures by cause.
fn summary(history: &History, site: &Site, elapsed: Duration) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for operation in &history.operations {
        let call = format!("{:?}", operation.call);
        let call = call.split(['(', ' ']).next().unwrap_or_default();
        let response = format!("{:?}", operation.response);
        let response = response.split(['(', ' ']).next().unwrap_or_default();
        *counts.entry(format!("{call} {response}")).or_default() += 1;
    }
    let events: usize = history.watches.iter().map(|watch| watch.events.len()).sum();
    let mut text = format!(
        "{} operations in {} s, {events} events in {} watches",
        history.operations.len(),
        elapsed.as_secs(),
        history.watches.len()
    );
    for (what, count) in counts {
        write!(text, "\n{count:>8} {what}").expect("a string takes everything");
    }
    for (what, count) in site.failures() {
        write!(text, "\n{count:>8} failures: {what}").expect("a string takes everything");
    }
    text
}
