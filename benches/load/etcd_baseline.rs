//! Throughput of etcd alone: clients send the transactions of mappings, each with guards on its
//! keys, and wait for the responses. No HTTP, JSON or derived state.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, Identity, TlsOptions, Txn, TxnOp,
};
use fastrand::Rng;
use futures_util::future::try_join_all;
use tokio::runtime::Builder;

use crate::corpus;
use crate::figures::{Figures, Latencies};
use crate::members::Members;
use crate::template::{Put, Template};
use crate::turn::{Clock, Stopwatch, Times};

/// Keys that no server uses.
const PREFIX: &str = "/baseline";
/// Key that every transaction writes besides its rows, as the store does.
const SENTINEL: &str = "/baseline/rev";

/// Runs a turn with this many clients.
///
/// # Errors
/// A transaction fails.
pub(crate) fn turn(
    members: &Members,
    template: &Template,
    clients: usize,
    times: Times,
) -> anyhow::Result<Figures> {
    let files = tempfile::tempdir()?;
    let clock = Clock::new(clients, times);
    let next_stream = AtomicUsize::new(usize::try_from(fastrand::u32(..))?);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let parts = runtime.block_on(async {
        let client = connect(members, &files).await?;
        let write = |number: usize| {
            let (client, clock, next_stream) = (client.clone(), &clock, &next_stream);
            async move { write(client, template, next_stream, number, clock).await }
        };
        try_join_all((0..clients).map(write)).await
    })?;
    Ok(Figures::of(&Latencies::of(parts), times.window))
}

async fn connect(members: &Members, files: &tempfile::TempDir) -> anyhow::Result<Client> {
    let files = members.client_files(files.path());
    let identity = Identity::from_pem(fs::read(&files.certificate)?, fs::read(&files.key)?);
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(fs::read(&files.authority)?))
        .identity(identity);
    let options = ConnectOptions::new().with_tls(tls);
    // A server uses one member, too.
    let endpoint = members.endpoints().into_iter().next().context("a cluster has a member")?;
    Client::connect([endpoint], Some(options)).await.context("cannot connect to etcd")
}

/// Loop of one client.
async fn write(
    mut client: Client,
    template: &Template,
    next_stream: &AtomicUsize,
    number: usize,
    clock: &Clock,
) -> anyhow::Result<Vec<u32>> {
    let mut rng = Rng::new();
    let mut watch = Stopwatch::start(clock);
    while watch.runs() {
        let stream = corpus::stream_name(next_stream.fetch_add(1, Ordering::Relaxed));
        for image in 0..template.images() {
            if !watch.runs() {
                break;
            }
            let rows = template.push(image, &stream, &mut rng);
            let response = client.txn(transaction(rows, number)).await?;
            ensure!(response.succeeded(), "no other client writes these keys");
            watch.lap();
        }
    }
    Ok(watch.latencies)
}

fn transaction(rows: Vec<Put>, client: usize) -> Txn {
    // The image is new; the stream is written again and again.
    let guards: Vec<Compare> = rows
        .iter()
        .filter(|(key, _)| key.contains("sha256:"))
        .map(|(key, _)| Compare::mod_revision(format!("{PREFIX}{key}"), CompareOp::Equal, 0))
        .collect();
    let sentinel = TxnOp::put(SENTINEL, client.to_string(), None);
    let puts = rows
        .into_iter()
        .map(|(key, value)| TxnOp::put(format!("{PREFIX}{key}"), Vec::from(value), None));
    Txn::new().when(guards).and_then(puts.chain([sentinel]).collect::<Vec<_>>())
}
