//! Rounds of a crash test: start, check, write, kill.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::inspector::{Inspector, Told};
use crate::ledger::{Owned, Push, Resource, State};
use crate::random::Random;
use crate::support::process::ServerProcess;
use crate::support::server::TestServer;
use crate::writer::{Writer, is, request};

const WRITERS: usize = 10;
/// Maximum number of acknowledged writes before a kill, and the longest time from there to the
/// kill.
const WRITES: usize = 40;
const LOAD: Duration = Duration::from_millis(40);
/// Longest time from the start of a process to its kill.
const START: Duration = Duration::from_millis(120);
/// Longest time from SIGTERM to the kill.
const ENDING: Duration = Duration::from_millis(30);
/// Deadline for acknowledged writes.
const DEADLINE: Duration = Duration::from_secs(30);
/// Number of rounds that push to the same stream, which grows with every push and makes the next
/// one slower.
const ROUNDS_A_STREAM: usize = 4;
/// Environment variables of the run.
const SEED: &str = "CRASH_SEED";
const KILLS: &str = "CRASH_KILLS";

/// Compaction policy during the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    Kept,
    /// Old revisions are compacted as soon as possible, so that kills also hit compactions.
    Forgotten,
}

/// Server under test, its writers and its inspector.
pub(crate) struct Campaign {
    history: History,
    seed: u64,
    random: Random,
    server: ServerProcess,
    writers: Vec<Writer>,
    inspector: Inspector,
    kills: Kills,
}

/// Number of kills by phase of the server.
#[derive(Debug, Default)]
struct Kills {
    starting: usize,
    writing: usize,
    ending: usize,
}

impl Kills {
    fn all(&self) -> usize {
        self.starting + self.writing + self.ending
    }
}

impl Campaign {
    pub(crate) async fn start(history: History) -> Self {
        let now = || {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
        };
        let seed = env::var(SEED)
            .map_or_else(|_| now(), |seed| seed.parse().expect("CRASH_SEED is a number"));
        println!("history {history:?}: {SEED}={seed}");
        let flags: &[&str] = match history {
            History::Kept => &["--compaction-retention=24h"],
            History::Forgotten => &["--compaction-interval=10ms", "--compaction-retention=40ms"],
        };
        let mut random = Random::new(seed);
        let mut server = ServerProcess::start(flags).await;
        let writers = (0..WRITERS).map(|number| Writer::new(number, random.fork())).collect();
        let inspector = Inspector::new(server.folder().join("data"), history);
        server.kill9();
        let mut campaign =
            Self { history, seed, random, server, writers, inspector, kills: Kills::default() };
        campaign.inspect().await;
        campaign
    }

    /// Runs this number of kills, or as many as the environment sets.
    pub(crate) async fn run(mut self, kills: usize) {
        let kills =
            env::var(KILLS).map_or(kills, |text| text.parse().expect("CRASH_KILLS is a number"));
        let mut shared = String::new();
        for round in 0.. {
            if self.kills.all() >= kills {
                break;
            }
            if round > 0 && self.random.percent(50) {
                self.inspect().await;
            }
            self.restart().await;
            if round > 0 {
                self.check(&shared).await;
            }
            if round % ROUNDS_A_STREAM == 0 {
                shared = format!("shared-{round}");
                self.make(&shared).await;
            }
            self.write(&shared).await;
        }
        self.inspect().await;
        let acknowledged: usize = self.writers.iter().map(|writer| writer.acknowledged).sum();
        let Self { history, seed, kills, inspector, .. } = self;
        let Inspector { events, resumed, late, .. } = inspector;
        println!(
            "history {history:?}, {SEED}={seed}: {acknowledged} writes were acknowledged, {kills:?}, {events} events were \
             delivered, {resumed} to resumed watches, {late} watches came too late"
        );
        assert!(acknowledged > 5 * kills.all(), "too few writes were acknowledged");
    }

    /// Starts the server, sometimes after a killed first attempt.
    async fn restart(&mut self) {
        self.server.begin_restart();
        while self.random.percent(20) {
            // Random delay, not a wait for a condition: the kill comes at a random moment.
            sleep(self.random.moment_within(START)).await;
            self.server.kill9();
            self.kills.starting += 1;
            self.server.begin_restart();
        }
        self.server.wait_until_ready().await;
    }

    async fn make(&self, stream: &str) {
        let body = json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": {"name": stream}});
        let made = self
            .server
            .admin()
            .send(request("POST", &Resource::Stream.collection()).json(&body))
            .await;
        is(&made.expect("the create is answered"), 201);
    }

    /// Runs all writers until the server is killed.
    async fn write(&mut self, shared: &str) {
        let client = self.server.admin();
        let (writes, mut written) = watch::channel(0);
        let writing = join_all(
            self.writers.iter_mut().map(|writer| writer.write(client.clone(), shared, &writes)),
        );
        let (enough, until_kill) = (self.random.below(WRITES), self.random.moment_within(LOAD));
        let (is_ending, ending) = (self.random.percent(15), self.random.moment_within(ENDING));
        let server = &mut self.server;
        let kill = async {
            let written = timeout(DEADLINE, written.wait_for(|count| *count >= enough)).await;
            written
                .expect("writes are acknowledged in time")
                .expect("the counting task is running");
            // Random delay, not a wait for a condition: the kill comes at a random moment.
            sleep(until_kill).await;
            if is_ending {
                server.send_sigterm();
                sleep(ending).await;
            }
            server.kill9();
        };
        tokio::join!(writing, kill);
        if is_ending {
            self.kills.ending += 1;
        } else {
            self.kills.writing += 1;
        }
    }

    /// Checks the objects through the API of the running server.
    async fn check(&mut self, shared: &str) {
        let client = self.server.admin();
        let list =
            client.send(request("GET", "images?limit=1")).await.expect("the list is answered");
        let version = is(&list, 200)["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok());
        assert!(version >= Some(self.highest()), "{version:?} is below {}", self.highest());
        for checked in
            join_all(self.writers.iter_mut().map(|writer| writer.check(&client, shared))).await
        {
            checked.expect("the server is running");
        }
    }

    /// Checks the data folder of the stopped server.
    async fn inspect(&mut self) {
        let told = Told { highest: self.highest(), resume: self.some_revision() };
        let (mut owned, mut pushes): (Vec<&mut Owned>, Vec<&mut Push>) = Default::default();
        for writer in &mut self.writers {
            owned.extend(&mut writer.owned);
            pushes.extend(&mut writer.pushes);
        }
        self.inspector.inspect(owned, pushes, told).await;
    }

    /// A revision that a client has received and may resume a watch from; sometimes the latest one.
    fn some_revision(&mut self) -> u64 {
        let passed =
            self.writers.iter().flat_map(|writer| &writer.owned).flat_map(|owned| &owned.passed);
        let mut told: Vec<u64> = passed.filter_map(State::version).collect();
        told.sort_unstable();
        let younger = if told.is_empty() { 0 } else { self.random.below(told.len()) };
        if self.random.percent(30) {
            self.highest()
        } else {
            told.get(younger).copied().unwrap_or_default()
        }
    }

    fn highest(&self) -> u64 {
        self.writers.iter().map(|writer| writer.highest).max().unwrap_or_default()
    }
}
