//! Graceful shutdown: the phase of the server, which only moves forward.
//!
//! Readiness, the listener, watches and background work each wait for their phase and stop
//! themselves.

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

/// Phase of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerPhase {
    /// The server runs normally.
    Running,
    /// Shutdown was requested: `/readyz` fails, all requests are served.
    Stopping,
    /// No new connections are accepted, requests in flight finish, and watches end.
    Draining,
    /// No requests are served: background work ends and the store closes.
    Stopped,
}

/// The phase of this server. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Sender<ServerPhase>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A handle of a running server.
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(ServerPhase::Running) }
    }

    /// Current phase. Cheap enough for every request.
    pub fn phase(&self) -> ServerPhase {
        *self.phase.borrow()
    }

    /// Advances to `phase`. No effect if the server has reached it.
    pub fn advance(&self, phase: ServerPhase) {
        self.phase.send_if_modified(|now| {
            let forward = *now < phase;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Requests shutdown, as the first signal does.
    pub fn begin(&self) {
        self.advance(ServerPhase::Stopping);
    }

    /// Resolves when the server has reached `phase`.
    pub fn reached(&self, phase: ServerPhase) -> impl Future<Output = ()> + Send + 'static {
        let mut watched = self.phase.subscribe();
        let sender = self.phase.clone();
        async move {
            // Fails only if no sender is left, which `sender` prevents.
            let _ = watched.wait_for(|now| *now >= phase).await;
            drop(sender);
        }
    }

    /// Waits for the request of shutdown, keeps serving for `delay`, then starts draining.
    pub async fn conduct(&self, delay: Duration) {
        self.reached(ServerPhase::Stopping).await;
        info!(?delay, "shutting down, /readyz fails");
        tokio::time::sleep(delay).await;
        self.advance(ServerPhase::Draining);
    }

    /// A handle whose shutdown is requested by SIGTERM or SIGINT. A second signal exits the process
    /// at once with code 1. For programs that only run the server.
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

/// Handles signals: the first one requests shutdown, the second one calls `exit`.
async fn follow(
    shutdown: Shutdown,
    mut signals: mpsc::Receiver<&'static str>,
    exit: impl FnOnce(),
) {
    let Some(first) = signals.recv().await else { return };
    info!(signal = first, "received a signal, shutting down");
    shutdown.begin();
    let Some(second) = signals.recv().await else { return };
    error!(signal = second, "received a second signal, exiting at once");
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
        shutdown.advance(ServerPhase::Draining);
        shutdown.begin();
        assert_eq!(shutdown.phase(), ServerPhase::Draining);
    }

    #[tokio::test]
    async fn a_passed_phase_is_reached_at_once() {
        let shutdown = Shutdown::new();
        shutdown.advance(ServerPhase::Stopped);
        soon(shutdown.reached(ServerPhase::Draining)).await;
    }

    #[tokio::test]
    async fn stopping_precedes_draining() {
        let shutdown = Shutdown::new();
        let conductor = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.conduct(Duration::from_millis(1)).await }
        });
        assert_eq!(shutdown.phase(), ServerPhase::Running);
        let stopping = shutdown.reached(ServerPhase::Stopping);
        shutdown.begin();
        soon(stopping).await;
        soon(shutdown.reached(ServerPhase::Draining)).await;
        soon(conductor).await.unwrap();
    }

    #[tokio::test]
    async fn a_delay_keeps_the_server_in_stopping() {
        let shutdown = Shutdown::new();
        shutdown.begin();
        let conducted = shutdown.conduct(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::from_millis(20), conducted).await.is_err());
        assert_eq!(shutdown.phase(), ServerPhase::Stopping);
    }

    #[tokio::test]
    async fn the_first_signal_shuts_down_and_the_second_exits() {
        let shutdown = Shutdown::new();
        let exited = std::sync::Arc::new(AtomicBool::new(false));
        let (sender, signals) = mpsc::channel(2);
        let flag = exited.clone();
        let task = tokio::spawn(follow(shutdown.clone(), signals, move || {
            flag.store(true, Ordering::SeqCst)
        }));
        sender.send("SIGTERM").await.unwrap();
        soon(shutdown.reached(ServerPhase::Stopping)).await;
        assert!(!exited.load(Ordering::SeqCst));
        sender.send("SIGTERM").await.unwrap();
        soon(task).await.unwrap();
        assert!(exited.load(Ordering::SeqCst));
    }
}
