//! Instructions that the server executes for the requests that matter most, counted by callgrind.
//!
//! Unlike times, counts of instructions are almost the same in each run and on each machine. A
//! request may take 5 % more than the committed number at most. The program starts itself under
//! `valgrind` and prints a line for each kind of request:
//!
//!     cargo test --test instructions
//!
//! After a deliberate change, or with another compiler, commit the printed numbers to `ROWS`.
//!
//! A server runs inside the program. The thread that serves its requests is counted: TLS, HTTP,
//! filters, handlers, and reads of the store. The client and the writer of the store have threads of
//! their own, which are not.
//!
//! The counts are those of the test build, without optimization. It exists already, while a release
//! build takes longer than most other steps. The counts are more than ten times those of a release,
//! but grow for the same reasons: another copy, lookup, allocation or pass over the data.

#[path = "../benches/load/corpus.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest")]
mod corpus;
#[path = "costs/site.rs"]
mod site;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs, hint};

use tempfile::tempdir;

use crate::site::{Load, Site};

/// A kind of request.
struct Row {
    name: &'static str,
    load: Load,
    /// Requests in a window. The pushes of a window go to a stream of their own, so that all windows
    /// are alike.
    requests: u32,
    /// Instructions of one request.
    committed: u64,
}

const ROWS: [Row; 5] = [
    Row { name: "GET, HTTP/1.1", load: Load::Get, requests: 20, committed: 955_000 },
    Row { name: "GET, HTTP/2", load: Load::GetOverHttp2, requests: 20, committed: 2_608_000 },
    Row { name: "GET, not found", load: Load::Missing, requests: 20, committed: 562_000 },
    Row { name: "page of ten images", load: Load::ListPage, requests: 1, committed: 71_000_000 },
    Row { name: "push", load: Load::Push, requests: 5, committed: 23_700_000 },
];
/// Windows of each row after one that does not count. The smallest number counts, because
/// background work adds to others.
const WINDOWS: usize = 3;
/// Maximum excess over the committed number, in percent.
const TOLERANCE: f64 = 5.0;
/// Argument with which the program starts itself.
const WORKLOAD: &str = "--workload";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if has(WORKLOAD) {
        run_workload();
        return ExitCode::SUCCESS;
    }
    if has("--list") {
        println!("instructions: test");
        return ExitCode::SUCCESS;
    }
    compare(&count())
}

/// Sends the requests, with a boundary after each window.
fn run_workload() {
    let site = Site::start();
    for Row { load, requests, .. } in ROWS {
        for _ in 0..=WINDOWS {
            site.exchange(load, requests);
            window_boundary();
        }
    }
}

/// A function at whose calls callgrind writes the counts of the calling thread to a file and sets
/// them to zero.
#[inline(never)]
fn window_boundary() {
    hint::black_box(());
}

/// Runs the workload under callgrind. Returns the instructions of one request of each row.
fn count() -> Vec<u64> {
    let folder = tempdir().expect("a temporary folder can be created");
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--separate-threads=yes"])
        .arg("--dump-before=*window_boundary*")
        .arg(format!("--callgrind-out-file={}", folder.path().join("part").display()))
        .arg(env::current_exe().expect("the program has a path"))
        .arg(WORKLOAD)
        .status()
        .expect("valgrind can be started; `.ci/run setup` installs it");
    assert!(status.success(), "the workload failed: {status}");
    let mut parts = (1..).map(|number| instructions(folder.path(), number));
    let of_row = |row: &Row| {
        // The first window also has the start of the server, or fills caches.
        let windows = parts.by_ref().take(1 + WINDOWS).skip(1);
        windows.min().expect("there are windows") / u64::from(row.requests)
    };
    ROWS.iter().map(of_row).collect()
}

/// Instructions of the main thread, which serves the requests, in one part of the counts.
fn instructions(folder: &Path, part: usize) -> u64 {
    let path = folder.join(format!("part.{part}-01"));
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.unwrap_or_else(|| panic!("{} has no total", path.display()))
}

/// Prints the counts, and compares them with the committed numbers.
fn compare(counts: &[u64]) -> ExitCode {
    println!("{:<20}{:>14}{:>14}{:>10}", "instructions of", "counted", "committed", "change");
    let mut failed = 0;
    for (Row { name, committed, .. }, count) in ROWS.iter().zip(counts) {
        let change = (*count as f64 / *committed as f64 - 1.0) * 100.0;
        let is_excess = change > TOLERANCE;
        failed += usize::from(is_excess);
        let verdict = if is_excess { "  FAILED" } else { "" };
        println!("{name:<20}{count:>14}{committed:>14}{change:>+9.1}%{verdict}");
    }
    // Same format as libtest, for tools that sum the results of all test binaries.
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {} passed; {failed} failed; 0 ignored", ROWS.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
