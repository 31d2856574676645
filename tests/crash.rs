//! Kills the server at random moments while many connections write, and looks at what is left.
//!
//! After every kill: each acknowledged write is there with its resourceVersion, unless a later one was acknowledged or in
//! flight; nothing is half there; revisions never go back; and a watch of the store, resumed from the last revision that
//! anybody has seen, delivers every later change exactly once and in order. A kill comes under load, while the server
//! starts, or while it ends, and every other time the next process is the first to open what was left behind.
//!
//! By environment:
//!
//! * `CRASH_KILLS=200` kills each server so often, instead of a few times: the long form, for changes to the store and to
//!   what writes to it;
//! * `CRASH_SEED=1234` makes the same choices again. Which instruction a kill hits remains chance.
//!
//! Seeds and figures are printed: `CRASH_KILLS=200 cargo test --test crash -- --nocapture`.

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
