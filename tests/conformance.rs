//! Replays recorded conversations with the reference implementation against the real binary: it must answer as
//! recorded, except where `conformance/exceptions.json` says what it answers instead, and why. What needs a cluster, which
//! knows users, roles and namespaces, is replayed by `cluster.rs`, in the same way.
//!
//! For work on the cases, by environment:
//!
//! * `CONFORMANCE_SHOW=area/case` (or `area`) replays only that and prints its exchanges; needs `-- --nocapture` to be
//!   seen when it passes;
//! * `CONFORMANCE_CASES=folder` replays the cases of another folder; exceptions count where they name one of them;
//! * `CONFORMANCE_WRITE_EXCEPTIONS=file` writes every replayed step that differs from its recording as an exception:
//!   with the reason that it has, or with `TODO` where the answer is not the one that a reason was given for.
//!   `exceptions.json` with a `TODO` in it is refused.
//!
//! No exception covers what must hold for every answer (`support/client.rs`).
//!
//! A case is JSON; `conformance/case.rs` says what its fields mean.

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
    let suite = Suite::of(|case| !case.needs_cluster());
    let server = ServerProcess::start(&[]).await;
    let anonymous = server.client(Identity::default());
    let clients = [("admin", server.admin()), ("alice", server.alice()), ("anonymous", anonymous)];
    suite.replay(clients.map(|(name, client)| (name.to_owned(), client)).into()).await;
}
