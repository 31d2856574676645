//! Runner of rows: runs them in sequence, measures them, and prints a line for each.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::runtime::Builder;
use tokio::time;

use crate::meter::{Cost, Meter};
use crate::probe::{Latency, Probe};
use crate::row::{Ceilings, Row, Seen, Server, Table};
use crate::site::Site;
use crate::speed::SpeedSampler;

/// Maximum latency of `/livez` at any moment of a row.
const LIVEZ: Duration = Duration::from_secs(1);
/// Timeout of an attack.
const DEADLINE: Duration = Duration::from_secs(300);

/// Selected rows.
pub(crate) struct Selection {
    wanted: Vec<String>,
    is_listing: bool,
}

impl Selection {
    /// Parses the libtest arguments that `cargo test` passes to all test binaries: words that names
    /// must contain, and `--list`. Other flags are ignored.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let (flags, wanted): (Vec<_>, Vec<_>) = arguments.partition(|each| each.starts_with('-'));
        Self { wanted, is_listing: flags.iter().any(|flag| flag == "--list") }
    }

    fn contains(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| name.contains(wanted.as_str()))
    }
}

/// Runs the selected rows.
pub(crate) fn run(tables: Vec<Table>, selection: &Selection) -> ExitCode {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime can be built");
    let begun = Instant::now();
    let (mut count, mut failed) = (0, Vec::new());
    for mut table in tables {
        for row in &mut table.rows {
            row.name = format!("{}/{}", table.name, row.name);
        }
        table.rows.retain(|row| selection.contains(&row.name));
        if selection.is_listing {
            table.rows.iter().for_each(|row| println!("{}: test", row.name));
            continue;
        }
        count += table.rows.len();
        failed.extend(runtime.block_on(run_table(&table)));
    }
    if selection.is_listing {
        return ExitCode::SUCCESS;
    }
    failed.iter().for_each(|name| println!("failed: {name}"));
    // Same format as libtest, for tools that sum the results of all test binaries.
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    let (passed, took) = (count - failed.len(), begun.elapsed().as_secs_f64());
    println!(
        "test result: {verdict}. {passed} passed; {} failed; 0 ignored; finished in {took:.2}s",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Names of the rows that failed.
async fn run_table(table: &Table) -> Vec<String> {
    let mut failed = Vec::new();
    let mut shared = None;
    for row in &table.rows {
        let site = match shared.take() {
            Some(site) => site,
            None => Rc::new(Site::start(&table.ground).await),
        };
        let faults = run_row(row, &site).await;
        if faults.is_empty() && table.server == Server::Shared {
            shared = Some(site);
        } else if !faults.is_empty() {
            failed.push(row.name.clone());
        }
    }
    failed
}

/// Runs a row, prints its line, and returns its failures.
async fn run_row(row: &Row, site: &Rc<Site>) -> Vec<String> {
    if let Err(why) = site.prepare((row.setup)()).await {
        println!("FAIL {}\n     cannot be set up: {why:.500}", row.name);
        return vec![why];
    }
    let meter = Meter::new(site.server.id());
    let start = meter.start().expect("a ready server runs");
    let probe = Probe::start(site.vic.clone());
    let speed = SpeedSampler::start();
    let begun = Instant::now();
    // A malformed response makes the client panic.
    let attack = AssertUnwindSafe((row.attack)(site.clone())).catch_unwind();
    let attack =
        attack.map(|finding| finding.unwrap_or_else(|_| Err("the attack panicked".into())));
    let finding = time::timeout(DEADLINE, attack).await;
    let took = begun.elapsed();
    let latency =
        tokio::task::spawn_blocking(move || probe.stop()).await.expect("a probe does not panic");
    let cost = meter.cost(start);
    let slowness =
        tokio::task::spawn_blocking(move || speed.stop()).await.expect("a sampler does not panic");
    let ceilings = row.ceilings.on_slower_machine(slowness);
    let mut faults = Vec::new();
    let seen = match finding {
        Ok(Ok(seen)) => seen,
        Ok(Err(why)) => fault(&mut faults, why),
        Err(_) => fault(&mut faults, format!("the attack takes longer than {DEADLINE:?}")),
    };
    match &cost {
        Ok(cost) => faults.extend(ceilings.exceeded_by(cost, &seen)),
        Err(why) => faults.push(format!("the server has ended: {why}")),
    }
    faults.extend(too_late(&latency));
    faults.extend(site.check_witness().await.err());
    print((&row.name, &ceilings), cost.ok().as_ref(), &seen, &latency, took, &faults);
    faults
}

fn fault(faults: &mut Vec<String>, why: String) -> Seen {
    faults.push(why);
    Seen::default()
}

fn too_late(latency: &Latency) -> Option<String> {
    let failure = latency.failure.as_ref().map(|why| format!("/livez: {why}"));
    let is_late = latency.longest >= LIVEZ;
    failure.or_else(|| {
        is_late.then(|| format!("/livez takes {:?}, at most {LIVEZ:?}", latency.longest))
    })
}

impl Ceilings {
    /// The ceilings on a machine that is slower by this factor.
    fn on_slower_machine(&self, slowness: f64) -> Self {
        Self { cpu: self.cpu * slowness, ..*self }
    }

    fn exceeded_by(&self, cost: &Cost, seen: &Seen) -> Vec<String> {
        let mut faults = Vec::new();
        if cost.cpu > self.cpu {
            faults.push(format!("{:.2} s of CPU, at most {:.2} s", cost.cpu, self.cpu));
        }
        if cost.memory > self.memory as u64 {
            faults.push(format!(
                "{} MiB of memory, at most {}",
                cost.memory >> 20,
                self.memory >> 20
            ));
        }
        if seen.largest > self.answer {
            faults.push(format!("an answer of {} bytes, at most {}", seen.largest, self.answer));
        }
        faults
    }
}

fn print(
    (name, ceilings): (&str, &Ceilings),
    cost: Option<&Cost>,
    seen: &Seen,
    latency: &Latency,
    took: Duration,
    faults: &[String],
) {
    let verdict = if faults.is_empty() { "ok  " } else { "FAIL" };
    let (cpu, memory) = cost.map_or((f64::NAN, 0), |cost| (cost.cpu, cost.memory >> 20));
    println!(
        "{verdict} {name:<58} cpu {cpu:>6.2} of {:>5.1} s  memory {memory:>5} of {:>4} MiB  answer {:>6} of {:>4} KiB  \
         livez {:>5} of {} ms  {:>6.1} s  {}",
        ceilings.cpu,
        ceilings.memory >> 20,
        seen.largest.div_ceil(1024),
        ceilings.answer >> 10,
        latency.longest.as_millis(),
        LIVEZ.as_millis(),
        took.as_secs_f64(),
        seen.note,
    );
    faults.iter().for_each(|why| println!("     {why}"));
}
