//! Time from process start to the first 200 of `/readyz` over a new TLS connection: on the data of
//! a server that was shut down gracefully, and of one that was killed while it wrote mappings.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::comparison::{Comparison, Side};
use crate::figures::Figures;
use crate::turn::{Clock, Stopwatch};
use crate::usage::resident_mib;

/// Duration of the writes before the kill.
const WRITING: Duration = Duration::from_millis(500);
/// Deadline for the first write.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let after = |name, data: fn(&Bench) -> anyhow::Result<TempDir>| {
        Comparison::new(name, Side::Ours, move || start(bench, &data(bench)?))
    };
    Ok(vec![
        after("start, stopped", |bench| bench.seed.copy(&bench.site)),
        after("start, killed", killed),
    ])
}

fn start(bench: &Bench, data: &TempDir) -> anyhow::Result<Figures> {
    let server = bench.site.serve(data.path())?;
    let ready = bench.pool.await_readiness(server.address)?;
    let ready_millis = Some((ready - server.started).as_secs_f64() * 1e3);
    Ok(Figures {
        ready_millis,
        resident_mib: Some(resident_mib(server.id())?),
        ..Figures::default()
    })
}

/// Data of a server that was killed while it wrote.
fn killed(bench: &Bench) -> anyhow::Result<TempDir> {
    let (server, data) = bench.fresh(Duration::ZERO)?;
    let pushes = bench.fixtures.open(&bench.pool, &server)?;
    thread::scope(|scope| {
        let (address, pushes) = (server.address, &pushes);
        let writing = scope.spawn(move || {
            // One client more than exist, so that the turn never ends.
            let clock = Clock::new(bench.pool.connections + 1, bench.times());
            bench.pool.run(address, PATIENCE, async |connection, _| {
                pushes.push(connection, &mut Stopwatch::start(&clock)).await
            })
        });
        let begun = Instant::now();
        while begun.elapsed() < WRITING || (pushes.acknowledged() == 0 && !writing.is_finished()) {
            thread::sleep(Duration::from_millis(1));
        }
        ensure!(
            !writing.is_finished(),
            "the clients that write ended before the server was killed"
        );
        drop(server);
        // Their connections break with the kill.
        let lost = writing.join().is_ok_and(|outcome| outcome.is_err());
        ensure!(
            lost && pushes.acknowledged() > 0,
            "nothing was written when the server was killed"
        );
        Ok(())
    })?;
    Ok(data)
}
