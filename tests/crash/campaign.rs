//! Round after round: start, look, write, kill.

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
/// The most writes that are acknowledged before a kill, and the longest time from there to the kill.
const WRITES: usize = 40;
const LOAD: Duration = Duration::from_millis(40);
/// The longest time from the start of a process to its kill.
const START: Duration = Duration::from_millis(120);
/// The longest time that a server that was asked to end is given.
const ENDING: Duration = Duration::from_millis(30);
/// The longest time until writes are acknowledged.
const DEADLINE: Duration = Duration::from_secs(30);
/// So many rounds push to the same stream. It grows with every push, and with it the work of the next one.
const ROUNDS_A_STREAM: usize = 4;
/// What the run is told by.
const SEED: &str = "CRASH_SEED";
const KILLS: &str = "CRASH_KILLS";

/// What becomes of old revisions meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    Kept,
    /// They are compacted as soon as possible, so that kills hit this as well.
    Forgotten,
}

/// A server, those who write to it, and the one who looks.
pub(crate) struct Campaign {
    history: History,
    seed: u64,
    random: Random,
    server: ServerProcess,
    writers: Vec<Writer>,
    inspector: Inspector,
    kills: Kills,
}

/// How often the server was killed, by what it was doing.
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

    /// Kills so many times, or as many as the environment says.
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
        assert!(acknowledged > 5 * kills.all(), "hardly anything was written");
    }

    /// Starts the server, sometimes not at the first attempt.
    async fn restart(&mut self) {
        self.server.begin_restart();
        while self.random.percent(20) {
            // No waiting for something: the moment is the point.
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
        is(&made.expect("an answer"), 201);
    }

    /// Lets everybody write until the server is killed.
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
                .expect("whoever counts them waits for this");
            // No waiting for something: the moment is the point.
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

    /// Looks through the API of a server that is up.
    async fn check(&mut self, shared: &str) {
        let client = self.server.admin();
        let list = client.send(request("GET", "images?limit=1")).await.expect("an answer");
        let version = is(&list, 200)["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok());
        assert!(version >= Some(self.highest()), "{version:?} comes after {}", self.highest());
        for checked in
            join_all(self.writers.iter_mut().map(|writer| writer.check(&client, shared))).await
        {
            checked.expect("the server answers");
        }
    }

    /// Looks into the folder of a server that is down.
    async fn inspect(&mut self) {
        let told = Told { highest: self.highest(), resume: self.some_revision() };
        let (mut owned, mut pushes): (Vec<&mut Owned>, Vec<&mut Push>) = Default::default();
        for writer in &mut self.writers {
            owned.extend(&mut writer.owned);
            pushes.extend(&mut writer.pushes);
        }
        self.inspector.inspect(owned, pushes, told).await;
    }

    /// A revision that a client was told, from which it may come back to watch: now and then the very last one.
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
