//! Mappings as fast as they are answered, and beside them what redb alone reaches with the same rows, from as many clients.
//! Every turn finds a copy of the filled store.

use std::time::Duration;

use crate::bench::Bench;
use crate::ceiling::{Commits, Terms};
use crate::contest::{Contest, Side};
use crate::crew::Crew;
use crate::figures::Figures;
use crate::turn;

/// How much longer syncs take on the slow disk.
const DELAY: Duration = Duration::from_millis(5);

pub(super) fn contests(bench: &Bench) -> anyhow::Result<Vec<Contest<'_>>> {
    let all = bench.crew.connections;
    let scenarios =
        [("mappings, 1", 1, Duration::ZERO), ("mappings, all", all, Duration::ZERO), ("mappings, +5 ms", all, DELAY)];
    Ok(scenarios.into_iter().flat_map(|(name, clients, delay)| sides(bench, name, clients, delay)).collect())
}

fn sides<'a>(bench: &'a Bench, name: &'static str, clients: usize, delay: Duration) -> [Contest<'a>; 3] {
    let redb = move |commits| {
        let terms = Terms { clients, commits, delay };
        bench.ceiling.turn(&bench.site, terms, bench.times())
    };
    [
        Contest::new(name, Side::Redb, move || redb(Commits::Usual)),
        Contest::new(name, Side::RedbQuickRepair, move || redb(Commits::QuickRepair)),
        Contest::new(name, Side::Ours, move || push(bench, clients, delay)),
    ]
}

fn push(bench: &Bench, clients: usize, delay: Duration) -> anyhow::Result<Figures> {
    let (server, _copy) = bench.fresh(delay)?;
    let pushes = bench.stock.open(&bench.crew, &server)?;
    let crew = Crew { connections: clients, threads: bench.crew.threads.min(clients), ..bench.crew.clone() };
    turn::drive(&crew, &server, bench.times(), async |connection, _, watch| pushes.push(connection, watch).await)
}
