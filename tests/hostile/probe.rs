//! `/livez` as kubelet asks for it, all the time, on a connection of its own each time.
//!
//! The probe has a thread and a runtime of its own, so that an attack that keeps the rest of this process
//! busy does not delay it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time;

use crate::support::client::{Client, Request};

/// Pause between two probes.
const INTERVAL: Duration = Duration::from_millis(25);
/// Answers that take longer count as this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Probes that go on until they are stopped.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Latency>,
}

/// Latency of `/livez`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) longest: Duration,
    pub(crate) count: usize,
    /// First probe that was not answered with 200.
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

    /// Ends the probes after one more, which covers the moment after the attack.
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
            Ok(Ok(answer)) => Some(format!("answered {}", answer.status)),
            Ok(Err(why)) => Some(why.to_string()),
            Err(_) => Some(format!("not answered within {PATIENCE:?}")),
        };
        latency.failure = latency.failure.take().or(failure);
        if is_last {
            return latency;
        }
        interval.tick().await;
    }
}
