//! Mappings at full speed, beside redb alone with the same rows from as many clients. Every turn
//! starts on a copy of the filled store.

use std::time::Duration;

use crate::bench::Bench;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::figures::Figures;
use crate::redb_baseline::{Commits, Terms};
use crate::turn;

/// Delay of a sync on the slow disk.
const DELAY: Duration = Duration::from_millis(5);

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let all = bench.pool.connections;
    let scenarios = [
        ("mappings, 1", 1, Duration::ZERO),
        ("mappings, all", all, Duration::ZERO),
        ("mappings, +5 ms", all, DELAY),
    ];
    Ok(scenarios
        .into_iter()
        .flat_map(|(name, clients, delay)| sides(bench, name, clients, delay))
        .collect())
}

fn sides<'a>(
    bench: &'a Bench,
    name: &'static str,
    clients: usize,
    delay: Duration,
) -> [Comparison<'a>; 3] {
    let redb = move |commits| {
        let terms = Terms { clients, commits, delay };
        bench.redb.turn(&bench.site, terms, bench.times())
    };
    [
        Comparison::new(name, Side::Redb, move || redb(Commits::Usual)),
        Comparison::new(name, Side::RedbQuickRepair, move || redb(Commits::QuickRepair)),
        Comparison::new(name, Side::Ours, move || push(bench, clients, delay)),
    ]
}

fn push(bench: &Bench, clients: usize, delay: Duration) -> anyhow::Result<Figures> {
    let (server, _copy) = bench.fresh(delay)?;
    let pushes = bench.fixtures.open(&bench.pool, &server)?;
    let pool = ClientPool {
        connections: clients,
        threads: bench.pool.threads.min(clients),
        ..bench.pool.clone()
    };
    turn::drive(&pool, &server, bench.times(), async |connection, _, watch| {
        pushes.push(connection, watch).await
    })
}
