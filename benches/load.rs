//! Load benchmark of the real binary, in alternating turns with baselines.
//!
//! `cargo bench --bench load` fills a server with images through mappings, once per size. Then each
//! scenario takes alternating turns, one for the server and one for each baseline, so that changes
//! in machine load affect all of them alike. Only the ratios are comparable: absolute figures
//! depend on the machine.
//!
//! Requests use persistent TLS connections. Each connection sends its next request when the
//! previous response is complete. Every kind of response is checked in full before the first turn,
//! and for status and length during the turns; a wrong response ends the run. The baseline for
//! reads is an HTTP server of axum, hyper and rustls in its own process that sends one of the
//! responses from memory. The baseline for writes is redb alone, in this process, with the rows
//! that the server would write.
//!
//! Options follow `--` or come from the environment (`LOAD_IMAGES=100000`); `-- --help` lists them.
//! Cargo passes `--bench` to benchmarks only; without it this program is a test that takes seconds,
//! as with `--smoke`.

#[path = "load/bench.rs"]
mod bench;
#[path = "load/caller.rs"]
mod caller;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/child.rs"]
mod child;
#[path = "load/client_pool.rs"]
mod client_pool;
#[path = "load/comparison.rs"]
mod comparison;
#[path = "load/control_plane.rs"]
mod control_plane;
#[path = "load/corpus.rs"]
mod corpus;
#[cfg(feature = "etcd")]
#[path = "load/etcd_baseline.rs"]
mod etcd_baseline;
#[cfg(feature = "etcd")]
#[path = "load/etcd_server.rs"]
mod etcd_server;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/fill.rs"]
mod fill;
#[path = "load/fixtures.rs"]
mod fixtures;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/grants.rs"]
mod grants;
#[path = "load/http_baseline.rs"]
mod http_baseline;
#[cfg(feature = "etcd")]
#[path = "../tests/cluster/kubeconfig.rs"]
mod kubeconfig;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/kubectl.rs"]
mod kubectl;
#[cfg(feature = "etcd")]
#[path = "load/kubernetes.rs"]
mod kubernetes;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/support/etcd/link.rs"]
mod link;
#[path = "load/listen.rs"]
mod listen;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/support/etcd/members.rs"]
mod members;
#[path = "load/multiplexed.rs"]
mod multiplexed;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/objects.rs"]
mod objects;
#[path = "load/open_loop.rs"]
mod open_loop;
#[path = "load/options.rs"]
mod options;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/pki.rs"]
mod pki;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/plane.rs"]
mod plane;
#[path = "load/process.rs"]
mod process;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/support/etcd/proxy.rs"]
mod proxy;
#[path = "load/questions.rs"]
mod questions;
#[path = "load/redb_baseline.rs"]
mod redb_baseline;
#[path = "load/report.rs"]
mod report;
#[path = "load/scenarios/mod.rs"]
mod scenarios;
#[path = "load/seed.rs"]
mod seed;
#[path = "load/site.rs"]
mod site;
#[path = "load/slow_disk.rs"]
mod slow_disk;
#[path = "load/streamed.rs"]
mod streamed;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "load/template.rs"]
mod template;
#[cfg(feature = "etcd")]
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../tests/cluster/tools.rs"]
mod tools;
#[path = "load/turn.rs"]
mod turn;
#[path = "load/usage.rs"]
mod usage;
#[cfg(feature = "etcd")]
#[path = "../tests/cluster/wait.rs"]
mod wait;
#[path = "load/webhook_server.rs"]
mod webhook_server;
#[path = "load/wire.rs"]
mod wire;

use std::process::ExitCode;

use anyhow::Context;

use bench::Bench;
use comparison::take_turns;
use options::{Options, Role};
use report::Report;
use site::Site;

/// The same allocator as the real server: this program also runs the HTTP baseline and the server
/// on a slow disk.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let options = Options::read();
    let outcome = match options.role() {
        Role::Measure => measure(&options),
        Role::HttpBaseline(folder) => http_baseline::serve(folder),
        Role::SlowDisk(delay, flags) => slow_disk::serve(delay, flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("load: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    report::print_setting(options, folder.path())?;
    let mut report = Report::default();
    for images in &options.images {
        let within = tempfile::tempdir_in(folder.path())?;
        let bench = Bench::fill(options, Site::new(within.path())?, *images)?;
        let comparisons = scenarios::comparisons(&bench)?;
        let outcome = take_turns(options.turns, *images, &comparisons, &mut report);
        // Prints the results measured before a failure: they took long to obtain.
        report.print_summary(*images);
        outcome?;
    }
    report.print_growth(&options.images);
    Ok(())
}
