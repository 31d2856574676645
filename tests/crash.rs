//! Kills the server at random moments while many connections write, and checks the data afterwards.
//!
//! After every kill, each acknowledged write exists with its resourceVersion, unless a later one
//! was acknowledged or in flight; no transaction is partial; revisions never decrease; and a watch
//! of the store, resumed from the last acknowledged revision, delivers every later change exactly
//! once and in order. A kill hits the server under load, during its start or during its shutdown.
//! Every other time the next server process is the first to open the data.
//!
//! Environment variables:
//!
//! * `CRASH_KILLS=200` sets the number of kills of each server: the long form, for changes to the
//!   store and to the code that writes to it;
//! * `CRASH_SEED=1234` repeats the random choices. The instruction that a kill hits remains random.
//!
//! The run prints seeds and figures: `CRASH_KILLS=200 cargo test --test crash -- --nocapture`.

#[path = "crash/campaign.rs"]
mod campaign;
#[path = "crash/inspector.rs"]
mod inspector;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/random.rs"]
mod random;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;
#[path = "crash/writer.rs"]
mod writer;

use campaign::{Campaign, History};

#[tokio::test]
async fn acknowledged_writes_survive_kills_and_are_delivered_once() {
    Campaign::start(History::Kept).await.run(10).await;
}

#[tokio::test]
async fn nothing_is_lost_where_history_is_forgotten_all_the_time() {
    Campaign::start(History::Forgotten).await.run(5).await;
}
