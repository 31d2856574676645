//! How the server ends: one phase, known everywhere, that only ever moves forward.
//!
//! It stops nothing itself. Readiness, the listener, watches and background work each wait for the phase that concerns
//! them.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::meta::duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

/// Flags of the shutdown.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Lifecycle")]
pub struct Options {
    /// Time to keep serving after SIGTERM or SIGINT while /readyz fails.
    ///
    /// Load balancers use it to stop sending requests. The grace period of the pod must exceed this
    /// time plus --request-timeout.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::non_negative)]
    pub shutdown_delay_duration: Duration,
}

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// All is well.
    Running,
    /// Told to end: `/readyz` fails, everything is still served.
    Stopping,
    /// No new connections; what is in flight may finish. Watches end now.
    Draining,
    /// Nothing is served any more: background work ends, the store closes.
    Stopped,
}

/// The phase of this server. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A server that is running.
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }

    /// Where the server is now. Cheap enough for every request.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves forward to `phase`; does nothing if the server is there already or beyond.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = *now < phase;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Begins the end, as a first signal does.
    pub fn begin(&self) {
        self.advance(Phase::Stopping);
    }

    /// Resolves once the server is in `phase` or beyond.
    pub fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + 'static {
        let mut watched = self.phase.subscribe();
        let kept = self.phase.clone();
        async move {
            // An error means that no handle is left, which `kept` rules out.
            let _ = watched.wait_for(|now| *now >= phase).await;
            drop(kept);
        }
    }

    /// Leads from the beginning of the end to draining: once it begins, serves on for `delay`.
    pub async fn conduct(&self, delay: Duration) {
        self.reached(Phase::Stopping).await;
        info!(?delay, "shutting down: /readyz fails from now on");
        tokio::time::sleep(delay).await;
        self.advance(Phase::Draining);
    }

    /// A server whose end begins with SIGTERM or SIGINT; a second one exits the process at once
    /// with code 1. For programs that do nothing beside the server.
    ///
    /// # Errors
    /// Signals cannot be received.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, signals) = mpsc::channel(2);
        tokio::spawn(follow(shutdown.clone(), signals, || std::process::exit(1)));
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = terminate.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    else => break,
                };
                if sender.send(name).await.is_err() {
                    break;
                }
            }
        });
        Ok(shutdown)
    }
}

/// Acts on named signals: the first begins the end, the next one calls `exit`.
async fn follow(shutdown: Shutdown, mut signals: mpsc::Receiver<&'static str>, exit: impl FnOnce()) {
    let Some(first) = signals.recv().await else { return };
    info!(signal = first, "told to end");
    shutdown.begin();
    let Some(second) = signals.recv().await else { return };
    error!(signal = second, "told to end again: exiting at once");
    exit();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(DEADLINE, future).await.expect("the phase is not reached")
    }

    #[test]
    fn phases_only_move_forward() {
        let shutdown = Shutdown::new();
        shutdown.advance(Phase::Draining);
        shutdown.begin();
        assert_eq!(shutdown.phase(), Phase::Draining);
    }

    #[tokio::test]
    async fn waiting_for_a_phase_that_has_passed_does_not_wait() {
        let shutdown = Shutdown::new();
        shutdown.advance(Phase::Stopped);
        soon(shutdown.reached(Phase::Draining)).await;
    }

    #[tokio::test]
    async fn the_end_passes_through_stopping_before_draining() {
        let shutdown = Shutdown::new();
        let conductor = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.conduct(Duration::from_millis(1)).await }
        });
        assert_eq!(shutdown.phase(), Phase::Running);
        let stopping = shutdown.reached(Phase::Stopping);
        shutdown.begin();
        soon(stopping).await;
        soon(shutdown.reached(Phase::Draining)).await;
        soon(conductor).await.unwrap();
    }

    #[tokio::test]
    async fn a_delay_keeps_the_server_in_stopping() {
        let shutdown = Shutdown::new();
        shutdown.begin();
        let conducted = shutdown.conduct(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::from_millis(20), conducted).await.is_err());
        assert_eq!(shutdown.phase(), Phase::Stopping);
    }

    #[tokio::test]
    async fn the_first_signal_begins_the_end_and_the_second_exits() {
        let shutdown = Shutdown::new();
        let exited = std::sync::Arc::new(AtomicBool::new(false));
        let (sender, signals) = mpsc::channel(2);
        let flag = exited.clone();
        let task = tokio::spawn(follow(shutdown.clone(), signals, move || flag.store(true, Ordering::SeqCst)));
        sender.send("SIGTERM").await.unwrap();
        soon(shutdown.reached(Phase::Stopping)).await;
        assert!(!exited.load(Ordering::SeqCst));
        sender.send("SIGTERM").await.unwrap();
        soon(task).await.unwrap();
        assert!(exited.load(Ordering::SeqCst));
    }
}
