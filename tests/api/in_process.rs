//! A server in the test process, with its own runtime and log.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use clap::FromArgMatches;
use imagestream_apiserver::server::{self, Options, shutdown::Shutdown};
use tokio::runtime::{self, Runtime};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::Dispatch;
use tracing::dispatcher::{self, DefaultGuard};

use crate::support::server::{DEADLINE, ServerFolder, TestServer, print_log_of_failure};

/// A server in the test process. Stops on drop.
pub(crate) struct Server {
    site: ServerFolder,
    life: Life,
}

impl TestServer for Server {
    async fn start(flags: &[&str]) -> Self {
        let site = ServerFolder::new(flags, "");
        let life = Life::begin(&site).await;
        let server = Self { site, life };
        server.become_ready(|server| server.life.end.is_finished()).await;
        server
    }

    async fn stop(&mut self) {
        self.life.end().await;
    }

    async fn restart(&mut self) {
        self.life.end().await;
        self.life = Life::begin(&self.site).await;
        self.become_ready(|server| server.life.end.is_finished()).await;
    }

    fn log(&self) -> Vec<String> {
        self.life.log.lines()
    }

    fn site(&self) -> &ServerFolder {
        &self.site
    }

    fn address(&self) -> SocketAddr {
        self.life.address
    }
}

/// One run of a server, from start to stop.
struct Life {
    address: SocketAddr,
    shutdown: Shutdown,
    end: JoinHandle<anyhow::Result<()>>,
    log: Log,
    /// None after the server has stopped.
    runtime: Option<Runtime>,
}

impl Life {
    async fn begin(site: &ServerFolder) -> Self {
        let log = Log::default();
        let runtime = runtime(&log);
        let shutdown = Shutdown::new();
        let start = runtime.spawn(server::start(options(&site.arguments), shutdown.clone()));
        let started = timeout(DEADLINE, start).await.expect("the server starts in time");
        let running =
            started.expect("the start does not panic").expect("the server can be started");
        let running = running.expect("the server runs until it is stopped");
        let address = running.address;
        let end = runtime.spawn(running.until_end());
        Self { address, shutdown, end, log, runtime: Some(runtime) }
    }

    /// Stops the server gracefully if it still runs.
    async fn end(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.shutdown.begin();
        let ended = timeout(DEADLINE, &mut self.end).await.expect("the server stops in time");
        ended.expect("the server does not panic").expect("the server stops without an error");
        // Waits for blocking work, as the process does, so that the store is closed.
        let close = spawn_blocking(move || runtime.shutdown_timeout(DEADLINE));
        close.await.expect("the runtime can be shut down");
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        print_log_of_failure(&self.log.lines());
    }
}

/// Parses these `serve` flags.
fn options(flags: &[String]) -> Options {
    let command = Options::augment_args(clap::Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(flags).unwrap_or_else(|error| panic!("{error}"));
    Options::from_arg_matches(&matches).unwrap_or_else(|error| panic!("{error}"))
}

/// Creates a runtime whose threads write to this log. The server needs its own threads, because it
/// uses `block_in_place`, which the single-threaded runtime of a test does not allow.
fn runtime(log: &Log) -> Runtime {
    thread_local! {
        static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
    }
    let dispatch = log.dispatch();
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("server")
        .enable_all()
        .on_thread_start(move || {
            let guard = dispatcher::set_default(&dispatch);
            GUARD.set(Some(guard));
        })
        .on_thread_stop(|| drop(GUARD.take()))
        .build()
        .expect("a runtime can be built")
}

/// The log of one server: the lines of its threads, in JSON as a [`ServerProcess`] logs them.
///
/// [`ServerProcess`]: crate::support::process::ServerProcess
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn dispatch(&self) -> Dispatch {
        let log = self.clone();
        let filter = "info,kube_runtime=off,kube_client=off";
        let lines =
            tracing_subscriber::fmt().with_writer(move || log.clone()).with_env_filter(filter);
        let lines = lines.json().flatten_event(true);
        Dispatch::new(lines.finish())
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
