//! The server on etcd, with one and with three members, beside the server on the embedded store,
//! and beside etcd alone.

use std::rc::Rc;

use crate::bench::Bench;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::etcd_baseline;
use crate::etcd_server::EtcdServer;
use crate::turn;

/// More requests in flight, which share freshness checks.
const MANY: usize = 8;

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let one = Rc::new(EtcdServer::fill(bench, 1)?);
    let three = Rc::new(EtcdServer::fill(bench, 3)?);
    let all = bench.pool.connections;
    let mut comparisons = Vec::new();
    for (name, server, connections) in [
        ("etcd 1, GET", &one, all),
        ("etcd 3, GET", &three, all),
        ("etcd 3, GET x8", &three, all * MANY),
    ] {
        comparisons.extend(gets(bench, name, server, connections));
    }
    for (name, server, clients) in [
        ("etcd 1, mappings, 1", &one, 1),
        ("etcd 1, mappings, all", &one, all),
        ("etcd 3, mappings, 1", &three, 1),
        ("etcd 3, mappings, all", &three, all),
    ] {
        comparisons.extend(mappings(bench, name, server, clients));
    }
    for (name, server) in [("etcd 1, start", one), ("etcd 3, start", three)] {
        comparisons.push(Comparison::new(name, Side::Ours, move || server.restart(bench)));
    }
    Ok(comparisons)
}

fn gets<'a>(
    bench: &'a Bench,
    name: &'static str,
    server: &Rc<EtcdServer>,
    connections: usize,
) -> [Comparison<'a>; 2] {
    let pool = ClientPool { connections, ..bench.pool.clone() };
    let (same, server) = (pool.clone(), server.clone());
    [
        Comparison::new(name, Side::Embedded, move || {
            turn::ask(&same, &bench.server, &bench.uniform, bench.times())
        }),
        Comparison::new(name, Side::Ours, move || server.get(bench, &pool)),
    ]
}

fn mappings<'a>(
    bench: &'a Bench,
    name: &'static str,
    server: &Rc<EtcdServer>,
    clients: usize,
) -> [Comparison<'a>; 2] {
    let (alone, server) = (server.clone(), server.clone());
    [
        Comparison::new(name, Side::Etcd, move || {
            etcd_baseline::turn(&alone.members, bench.redb.template(), clients, bench.times())
        }),
        Comparison::new(name, Side::Ours, move || server.push(bench, clients)),
    ]
}
