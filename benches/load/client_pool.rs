//! Client pool: a few threads that share the connections, independent of the requests sent.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use tokio::runtime::Builder;

use crate::caller::Caller;
use crate::wire::{self, Connection, Connector};

/// Deadline for the server to become ready.
const READY: Duration = Duration::from_secs(30);
/// Interval between readiness checks.
const INTERVAL: Duration = Duration::from_millis(1);

/// Pool of clients.
#[derive(Clone)]
pub(crate) struct ClientPool {
    /// Connector for new connections.
    pub(crate) connector: Connector,
    /// Number of concurrent clients.
    pub(crate) connections: usize,
    /// Number of threads that the clients share.
    pub(crate) threads: usize,
}

impl ClientPool {
    /// Runs a job on every connection and returns the results. The job receives the number of its
    /// connection.
    ///
    /// # Errors
    /// The first job that fails or exceeds `limit`.
    pub(crate) fn run<T, J>(
        &self,
        address: SocketAddr,
        limit: Duration,
        job: J,
    ) -> anyhow::Result<Vec<T>>
    where
        T: Send,
        J: AsyncFn(&mut Connection, usize) -> anyhow::Result<T> + Sync,
    {
        let job = &job;
        thread::scope(|scope| {
            let start = |thread| scope.spawn(move || self.share(thread, address, limit, job));
            let threads: Vec<_> = (0..self.threads).map(start).collect();
            let mut results = Vec::with_capacity(self.connections);
            for thread in threads {
                results.extend(
                    thread.join().map_err(|_| anyhow!("a thread of the client panicked"))??,
                );
            }
            Ok(results)
        })
    }

    /// Runs the clients of one thread. Connections wake one by one, so each is polled only when it
    /// has work.
    fn share<T, J>(
        &self,
        thread: usize,
        address: SocketAddr,
        limit: Duration,
        job: &J,
    ) -> anyhow::Result<Vec<T>>
    where
        J: AsyncFn(&mut Connection, usize) -> anyhow::Result<T>,
    {
        let jobs = (thread..self.connections).step_by(self.threads).map(|number| async move {
            let mut connection = self.connector.open(address).await.context("cannot connect")?;
            job(&mut connection, number).await
        });
        let jobs: FuturesUnordered<_> = jobs.collect();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let done =
            runtime.block_on(async { tokio::time::timeout(limit, jobs.try_collect()).await });
        done.with_context(|| format!("not done after {limit:?}"))?
    }

    /// Waits until a server is ready and returns the time of that.
    ///
    /// # Errors
    /// The server is not ready in time.
    pub(crate) fn await_readiness(&self, address: SocketAddr) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            while begun.elapsed() < READY {
                let mut connection = self.connector.open(address).await?;
                if connection.exchange(&wire::get("/readyz", Caller::Token)).await?.status == 200 {
                    return Ok(Instant::now());
                }
                tokio::time::sleep(INTERVAL).await;
            }
            bail!("the server is not ready after {READY:?}")
        })
    }
}
