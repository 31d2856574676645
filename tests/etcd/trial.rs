//! Trial of servers during a fault: clients work all the time, and their history must be valid in
//! the end.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::history::campaign::{Campaign, assert_valid};
use crate::history::record::{Change, Response};
use crate::link::Condition;
use crate::members::{Members, Settings};
use crate::observation::Observation;
use crate::site::Replica;
use crate::support::client::Request;
use crate::support::client::watch::Watch;
use crate::support::server::TestServer;

const CALLERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest time until a server has noticed a fault, or has moved to another member. A response
/// without a store takes up to six seconds.
const DEADLINE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);
const WATCHED: &str = "/apis/image.openshift.io/v1/namespaces/observed/imagestreams";

pub(crate) struct Trial {
    pub(crate) members: Members,
    /// The server under observation, followed by others.
    pub(crate) replicas: Vec<Replica>,
    pub(crate) campaign: Campaign,
    /// Watch that is open from the start.
    pub(crate) watch: Watch,
    observations: u32,
}

impl Trial {
    pub(crate) async fn start(settings: Settings, replicas: usize) -> Self {
        let members = Members::launch(settings).await;
        let mut all = Vec::new();
        for _ in 0..replicas {
            all.push(Replica::start(&members).await);
        }
        let clients = all.iter().map(|replica| replica.server.admin()).collect();
        let campaign = Campaign::start(clients, CALLERS, PATIENCE).await;
        let admin = all[0].server.admin();
        let watch = admin.watch(Request::new("GET", &format!("{WATCHED}?watch=true"))).await;
        Observation::prepare(&admin).await;
        Self { members, replicas: all, campaign, watch, observations: 0 }
    }

    /// The responses of the first server now.
    pub(crate) async fn observe(&mut self) -> Observation {
        self.observations += 1;
        let name = format!("new-{}", self.observations);
        Observation::of(&self.replicas[0].server.admin(), &name).await
    }

    /// Observes until the condition holds, and prints the row. Panics at the deadline.
    pub(crate) async fn observe_until(
        &mut self,
        fault: &str,
        holds: fn(&Observation) -> bool,
    ) -> Observation {
        let begun = Instant::now();
        loop {
            let seen = self.observe().await;
            if holds(&seen) {
                println!("{fault}, after {:.1} s: {seen}", begun.elapsed().as_secs_f32());
                return seen;
            }
            assert!(begun.elapsed() < DEADLINE, "{fault}: {seen}");
            sleep(INTERVAL).await;
        }
    }

    pub(crate) fn set_links(&self, condition: Condition) {
        self.replicas.iter().for_each(|replica| replica.set_links(condition));
    }

    /// Ends the trial after the fault: all servers become ready without a restart, the first watch
    /// is still open and delivers the next write, and the history is valid.
    pub(crate) async fn end(mut self) {
        self.members.healthy().await;
        for replica in &self.replicas {
            replica.server.wait_until_ready().await;
        }
        let after = self.observe().await;
        assert_eq!(after.probes(), [Some(200); 4], "{after}");
        assert!(after.is_served(), "not recovered: {after}");
        let new = format!("ADDED new-{}", self.observations);
        while self.watch.told().await.expect("the watch is still open") != new {}
        self.finish().await;
    }

    /// Checks the history, for a fault that ends watches.
    pub(crate) async fn finish(self) {
        let history = self.campaign.finish().await;
        let mut operations = history.operations.iter();
        assert!(operations.any(|each| matches!(each.response, Response::Object(_))));
        let mut events = history.watches.iter().flat_map(|watch| &watch.events);
        assert!(events.any(|event| event.change == Change::Added));
        assert_valid(&history);
    }
}
