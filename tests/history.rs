//! Histories of many clients of one server that is killed again and again, checked by the revisions
//! in all responses. `history/check.rs` has the rules; its own tests inject violations.
//!
//! Environment variables:
//!
//! * `HISTORY_SECONDS=600` sets the length of a run;
//! * `HISTORY_SEED=1234` repeats the random choices of clients and faults.

#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "history/mod.rs"]
mod history;
#[path = "history/injected.rs"]
mod injected;
#[path = "history/injected_reads.rs"]
mod injected_reads;
#[path = "history/simulation.rs"]
mod simulation;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use std::env;
use std::time::{Duration, Instant};

use history::campaign::{Campaign, assert_valid};
use support::process::ServerProcess;
use support::server::TestServer;
use tokio::time::sleep;

const CALLERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
const LENGTH: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn history_of_a_server_that_is_killed_has_no_violation() {
    let length = env::var("HISTORY_SECONDS").map_or(LENGTH, |text| {
        Duration::from_secs(text.parse().expect("HISTORY_SECONDS is a number"))
    });
    let mut server = ServerProcess::start(&["--compaction-retention=24h"]).await;
    let mut campaign = Campaign::start(vec![server.admin()], CALLERS, PATIENCE).await;
    let (begun, mut kills) = (Instant::now(), 0);
    while begun.elapsed() < length {
        // Random delay, not a wait for a condition: the kill comes at a random moment.
        sleep(Duration::from_millis(campaign.random.u64(100..1500))).await;
        server.kill9();
        server.restart().await;
        campaign.site.replace(0, server.admin());
        kills += 1;
    }
    let history = campaign.finish().await;
    println!("{kills} kills");
    assert_valid(&history);
    server.stop().await;
}
