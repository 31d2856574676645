//! Server over an etcd cluster of its own, as full as the embedded store.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::bench::Bench;
use crate::client_pool::ClientPool;
use crate::corpus::IMAGES_PER_STREAM;
use crate::figures::Figures;
use crate::fill;
use crate::fixtures::Fixtures;
use crate::members::{Durability, Members, Peers, Settings};
use crate::process::Process;
use crate::questions::{Questions, Scenario};
use crate::report;
use crate::turn;
use crate::usage::{self, resident_mib};

/// Mappings that are built before a turn. More would cost time and disk in each turn, which writes
/// to new streams of the same cluster.
const STOCK: usize = 4_000;

/// A cluster with TLS and fsync, and a server on it.
pub(crate) struct EtcdServer {
    process: RefCell<Process>,
    /// The cluster.
    pub(crate) members: Members,
    files: TempDir,
    /// GET requests for any image, with their expected responses.
    questions: Questions,
    next_stream: Cell<usize>,
}

impl EtcdServer {
    /// Starts a cluster of this many members and fills it as the embedded store of the bench.
    ///
    /// # Errors
    /// The server does not start, or a response is wrong.
    pub(crate) fn fill(bench: &Bench, members: usize) -> anyhow::Result<Self> {
        let settings = Settings {
            durability: Durability::Fsync,
            peers: Peers::Direct,
            flags: vec!["--quota-backend-bytes=8589934592".to_owned()],
            ..Settings::of(members)
        };
        let members = Members::begin(settings);
        Builder::new_current_thread().enable_all().build()?.block_on(members.healthy());
        let files = tempfile::tempdir()?;
        let process = start(bench, &members, &files)?;
        let (digests, filling) = fill::fill(&bench.pool, &process, bench.digests.len())?;
        println!("\n{} members of etcd:", members.size());
        report::print_filling(&filling);
        let mut questions = Questions::new(Scenario::Uniform, &digests);
        questions.learn_answers(&bench.pool, process.address)?;
        let next_stream = Cell::new(filling.streams);
        Ok(Self { process: RefCell::new(process), members, files, questions, next_stream })
    }

    /// A turn of GETs, all images alike.
    ///
    /// # Errors
    /// A response is wrong.
    pub(crate) fn get(&self, bench: &Bench, pool: &ClientPool) -> anyhow::Result<Figures> {
        turn::ask(pool, &self.process.borrow(), &self.questions, bench.times())
    }

    /// A turn of mappings into new streams.
    ///
    /// # Errors
    /// A response is wrong.
    pub(crate) fn push(&self, bench: &Bench, clients: usize) -> anyhow::Result<Figures> {
        let stock = bench.options.stock.min(STOCK);
        let first = self.next_stream.get();
        let fixtures = Fixtures::new(first, stock, bench.options.threads)?;
        let process = self.process.borrow();
        let pushes = fixtures.open(&bench.pool, &process)?;
        let pool = ClientPool {
            connections: clients,
            threads: bench.pool.threads.min(clients),
            ..bench.pool.clone()
        };
        let figures = turn::drive(&pool, &process, bench.times(), async |connection, _, watch| {
            pushes.push(connection, watch).await
        })?;
        // Streams that were not full when the turn ended stay as they are.
        let streams = pushes.acknowledged().max(stock).div_ceil(IMAGES_PER_STREAM) + clients;
        self.next_stream.set(first + streams);
        Ok(figures)
    }

    /// Starts the server again and measures the time until it is ready.
    ///
    /// # Errors
    /// The server does not start.
    pub(crate) fn restart(&self, bench: &Bench) -> anyhow::Result<Figures> {
        let server = launch(bench, &self.members, &self.files)?;
        let ready: Instant = bench.pool.await_readiness(server.address)?;
        let ready_millis = Some((ready - server.started).as_secs_f64() * 1e3);
        let resident_mib = Some(resident_mib(server.id())?);
        Ok(Figures { ready_millis, resident_mib, ..Figures::default() })
    }
}

/// Starts a server whose CPU time includes that of the cluster, and waits until it is ready.
fn start(bench: &Bench, members: &Members, files: &TempDir) -> anyhow::Result<Process> {
    let mut process = launch(bench, members, files)?;
    process.companions = processes(members)?;
    bench.pool.await_readiness(process.address)?;
    Ok(process)
}

fn launch(bench: &Bench, members: &Members, folder: &TempDir) -> anyhow::Result<Process> {
    let files = members.client_files(folder.path());
    let flags = [
        "--storage-backend=etcd3".to_owned(),
        format!("--etcd-servers={}", members.endpoints().join(",")),
        format!("--etcd-cafile={}", files.authority.display()),
        format!("--etcd-certfile={}", files.certificate.display()),
        format!("--etcd-keyfile={}", files.key.display()),
    ];
    bench.site.serve_with(&flags).context("the server does not start on etcd")
}

/// The processes of the members, which their flags identify.
fn processes(members: &Members) -> anyhow::Result<Vec<u32>> {
    let urls = members.endpoints();
    let flags: Vec<String> = urls.iter().map(|url| format!("--listen-client-urls={url}")).collect();
    let found = usage::processes_with(&["etcd"], |argument| flags.iter().any(|it| it == argument))?;
    ensure!(found.len() == members.size(), "{} of {} members run", found.len(), members.size());
    Ok(found)
}
