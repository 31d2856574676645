//! Load on the real binary, in turns with what it is compared with.
//!
//! `cargo bench --bench load` fills a server with images by way of mappings, once for each size, and then takes turns:
//! of each scenario one turn for the server and one for each of its rivals, again and again, so that the mood of the
//! machine falls on all of them alike. What counts are the ratios: absolute figures belong to a machine.
//!
//! Requests go over TLS connections that stay open, each of them sending the next request when the last answer is
//! complete. Every kind of answer is checked in full before the first turn, and for status and length in the turns; a
//! wrong one ends the run. The rival of reading is an HTTP baseline: axum, hyper and rustls in a process of their own, which
//! send the bytes of one of the answers from memory. The rival of writing is redb alone, in this process, with the rows
//! that the server would write.
//!
//! Options go behind `--` or into the environment (`LOAD_IMAGES=100000`); `-- --help` lists them. Without `--bench`,
//! which cargo passes in a benchmark, this is a test and takes seconds, as with `--smoke`.

#[path = "load/bench.rs"]
mod bench;
#[path = "load/caller.rs"]
mod caller;
#[path = "load/client_pool.rs"]
mod client_pool;
#[path = "load/comparison.rs"]
mod comparison;
#[path = "load/control_plane.rs"]
mod control_plane;
#[path = "load/corpus.rs"]
mod corpus;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/fill.rs"]
mod fill;
#[path = "load/fixtures.rs"]
mod fixtures;
#[path = "load/http_baseline.rs"]
mod http_baseline;
#[path = "load/listen.rs"]
mod listen;
#[path = "load/open_loop.rs"]
mod open_loop;
#[path = "load/options.rs"]
mod options;
#[path = "load/process.rs"]
mod process;
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
#[path = "load/template.rs"]
mod template;
#[path = "load/turn.rs"]
mod turn;
#[path = "load/usage.rs"]
mod usage;
#[path = "load/wire.rs"]
mod wire;

use std::process::ExitCode;

use anyhow::Context;

use bench::Bench;
use comparison::take_turns;
use options::{Options, Role};
use report::Report;
use site::Site;

/// The one of the real server: the HTTP baseline and the server on a slow disk are this program too.
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
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    report::print_setting(options, folder.path())?;
    let mut report = Report::default();
    for images in &options.images {
        let within = tempfile::tempdir_in(folder.path())?;
        let bench = Bench::fill(options, Site::new(within.path())?, *images)?;
        let comparisons = scenarios::comparisons(&bench)?;
        let outcome = take_turns(options.turns, *images, &comparisons, &mut report);
        // What was measured before a failure took long enough to be worth something.
        report.print_summary(*images);
        outcome?;
    }
    report.print_growth(&options.images);
    Ok(())
}
