//! Continuous probes of `/livez`, like kubelet's, each on a new connection.
//!
//! The probe has its own thread and runtime, so that an attack that keeps this process busy does
//! not delay it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time;

use crate::support::client::{Client, Request};

/// Pause between two probes.
const INTERVAL: Duration = Duration::from_millis(25);
/// Timeout of a probe, and its latency if it times out.
const PATIENCE: Duration = Duration::from_secs(10);

/// Probes that run until they are stopped.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Latency>,
}

/// Latency of `/livez`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) longest: Duration,
    pub(crate) count: usize,
    /// First probe with a status other than 200.
    pub(crate) failure: Option<String>,
}

impl Probe {
    pub(crate) fn start(client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(probe_until(&stopped, &client))
        });
        Self { stop, thread }
    }

    /// Stops the probes after one more, which covers the moment after the attack.
    pub(crate) fn stop(self) -> Latency {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("a probe does not panic")
    }
}

async fn probe_until(stopped: &AtomicBool, client: &Client) -> Latency {
    let mut latency = Latency::default();
    let mut interval = time::interval(INTERVAL);
    loop {
        let is_last = stopped.load(Ordering::SeqCst);
        let begun = Instant::now();
        let answer =
            time::timeout(PATIENCE, client.send_unchecked(Request::new("GET", "/livez"))).await;
        latency.longest = latency.longest.max(begun.elapsed());
        latency.count += 1;
        let failure = match answer {
            Ok(Ok(answer)) if answer.status == 200 => None,
            Ok(Ok(answer)) => Some(format!("status {}", answer.status)),
            Ok(Err(why)) => Some(why.to_string()),
            Err(_) => Some(format!("no response within {PATIENCE:?}")),
        };
        latency.failure = latency.failure.take().or(failure);
        if is_last {
            return latency;
        }
        interval.tick().await;
    }
}
