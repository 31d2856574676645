//! Replays recorded conversations with the reference implementation against the real binary. Every
//! response must equal the recording, except where `conformance/exceptions.json` gives another
//! response and the reason. `cluster.rs` replays the cases that need a cluster with users, roles
//! and namespaces in the same way.
//!
//! Environment variables for work on the cases:
//!
//! * `CONFORMANCE_SHOW=area/case` (or `area`) replays only these cases and prints their exchanges;
//!   a passing test prints them with `-- --nocapture` only;
//! * `CONFORMANCE_CASES=folder` replays the cases of another folder, with the exceptions for cases
//!   of the same name;
//! * `CONFORMANCE_WRITE_EXCEPTIONS=file` writes every replayed step that differs from its recording
//!   as an exception: with its existing reason, or with `TODO` if the response has changed since.
//!   `exceptions.json` must not contain `TODO`.
//!
//! No exception covers the rules for all responses (`support/client.rs`).
//!
//! Cases are JSON; `conformance/case.rs` documents their fields.

#[path = "conformance/replay.rs"]
mod replay;
#[expect(dead_code, reason = "the tests of the cluster use the rest")]
#[path = "conformance/suite.rs"]
mod suite;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use suite::Suite;
use support::client::Identity;
use support::process::ServerProcess;
use support::server::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_answered_as_recorded() {
    let suite = Suite::of(|case| !case.needs_cluster() && !case.needs_registry());
    let server = ServerProcess::start(&[]).await;
    let anonymous = server.client(Identity::default());
    let clients = [("admin", server.admin()), ("alice", server.alice()), ("anonymous", anonymous)];
    suite.replay(clients.map(|(name, client)| (name.to_owned(), client)).into()).await;
}
