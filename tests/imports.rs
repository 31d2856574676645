//! Replays recorded conversations about imports against the real binary and a real registry,
//! Debian's `docker-registry`, which `.ci/run setup` installs. Exceptions are those of
//! `conformance.rs`.

#[path = "imports/docker_registry.rs"]
mod docker_registry;
#[path = "imports/images.rs"]
mod images;
#[path = "conformance/replay.rs"]
mod replay;
#[expect(dead_code, reason = "the tests of the cluster use the rest")]
#[path = "conformance/suite.rs"]
mod suite;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use docker_registry::DockerRegistry;
use replay::case::Case;
use suite::Suite;
use support::process::ServerProcess;
use support::server::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_import_is_answered_as_recorded() {
    let suite = Suite::of(|case: &Case| case.needs_registry() && !case.needs_cluster());
    let registry = DockerRegistry::start().await;
    images::push_all(&registry).await;
    let server = ServerProcess::start(&["--import-allow-cidrs=127.0.0.0/8"]).await;
    let clients = [("admin", server.admin()), ("alice", server.alice())];
    suite
        .with("registry", &registry.address().to_string())
        .replay(clients.map(|(name, client)| (name.to_owned(), client)).into())
        .await;
}
