//! GETs of any image at a fixed rate, while as many clients push mappings at full speed.

use std::thread;
use std::time::Duration;

use anyhow::anyhow;

use crate::bench::Bench;
use crate::comparison::{Comparison, Side};
use crate::figures::{Figures, Latencies};
use crate::open_loop;
use crate::turn::{Clock, Stopwatch, observe};

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    Ok(vec![Comparison::new("beside writes", Side::Ours, move || turn(bench))])
}

fn turn(bench: &Bench) -> anyhow::Result<Figures> {
    let (server, _copy) = bench.fresh(Duration::ZERO)?;
    let pushes = bench.fixtures.open(&bench.pool, &server)?;
    let (pool, clock) = (&bench.pool, &Clock::new(2 * bench.pool.connections, bench.times()));
    let write = || {
        pool.run(server.address, clock.limit(), async |connection, _| {
            let mut watch = Stopwatch::start(clock);
            pushes.push(connection, &mut watch).await?;
            Ok(watch.latencies)
        })
    };
    let (seen, (gets, writes)) = observe(&server, clock, || {
        thread::scope(|scope| {
            let writing = scope.spawn(write);
            let gets =
                open_loop::ask(pool, &server, &bench.uniform, bench.options.paced_rate, clock)?;
            let writes =
                writing.join().map_err(|_| anyhow!("the clients that write panicked"))??;
            Ok((gets, Latencies::of(writes)))
        })
    })?;
    let writes = writes.count() as f64 / clock.length().as_secs_f64();
    let others_percent = Some(seen.usage.others * 100.0);
    let resident_mib = Some(seen.resident_mib);
    Ok(Figures {
        writes: Some(writes),
        resident_mib,
        others_percent,
        ..Figures::of(&gets, clock.length())
    })
}
