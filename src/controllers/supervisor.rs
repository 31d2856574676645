//! The supervisor of controllers: starts them, restarts those that end, and stops them all.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tracing::{error, info};

use super::controller::{Controller, Leadership};
use crate::runtime::Backoff;
use crate::store::Term;
use crate::telemetry::metrics::Metrics;

/// The controllers of a server. Dropping it stops them.
pub struct Supervisor {
    tasks: JoinSet<()>,
    metrics: Arc<Metrics>,
    policy: RestartPolicy,
}

/// The delays before restarts. They grow while a controller keeps ending soon.
#[derive(Clone, Copy)]
struct RestartPolicy {
    /// The delay before the first restart. It doubles with each further one.
    first: Duration,
    /// The longest delay.
    longest: Duration,
    /// The running time after which the next delay is the first one again.
    stable: Duration,
}

const RESTARTS: RestartPolicy = RestartPolicy {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
    stable: Duration::from_secs(600),
};

/// The reason why a run of a controller ended.
#[derive(Debug)]
enum RunEnd {
    /// Another replica may be elected now.
    TermOver,
    /// The controller ended by itself, for this reason.
    Failed(String),
}

impl Supervisor {
    /// A supervisor without controllers.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { tasks: JoinSet::new(), metrics, policy: RESTARTS }
    }

    /// Starts controllers.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start_all(&mut self, controllers: impl IntoIterator<Item = Box<dyn Controller>>) {
        for controller in controllers {
            self.tasks.spawn(supervise(controller, self.metrics.clone(), self.policy));
        }
    }

    /// Stops all controllers at their next await, and waits for that.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Runs a controller whenever this replica is elected for it. Never returns.
async fn supervise(
    mut controller: Box<dyn Controller>,
    metrics: Arc<Metrics>,
    policy: RestartPolicy,
) {
    let name = controller.name();
    let restarts = metrics.controller_restarts(name);
    let mut backoff = Backoff::new(policy.first, policy.longest);
    loop {
        let mut term = match controller.leadership() {
            Leadership::EveryReplica => Term::unlimited(),
            Leadership::Elected(elector) => elector.elect(name).await,
        };
        let started = Instant::now();
        match run(&mut *controller, &mut term).await {
            RunEnd::TermOver => {
                info!(controller = name, "controller stopped: the term of this replica is over")
            }
            RunEnd::Failed(reason) => {
                drop(term);
                if started.elapsed() >= policy.stable {
                    backoff.reset();
                }
                let delay = backoff.next_delay();
                restarts.inc();
                error!(controller = name, reason, ?delay, "controller ended; restarting it");
                time::sleep(delay).await;
            }
        }
    }
}

/// Runs a controller until it ends or the term is over.
async fn run(controller: &mut dyn Controller, term: &mut Term) -> RunEnd {
    // The next run starts with the fields that a panic leaves. Controllers keep the state of a run
    // in locals of `run`, which are dropped.
    let run = AssertUnwindSafe(controller.run()).catch_unwind();
    tokio::select! {
        () = term.ended() => RunEnd::TermOver,
        end = run => RunEnd::Failed(match end {
            Ok(()) => "it returned".to_owned(),
            Err(panic) => format!("it panicked: {}", message(&*panic)),
        }),
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::store::Elector;

    const DEADLINE: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(3600);

    /// One run of a [`Scripted`] controller. The result that is sent makes it return or panic.
    struct Run(oneshot::Sender<Result<(), &'static str>>);

    /// Hands each of its runs to the test.
    struct Scripted {
        runs: mpsc::UnboundedSender<Run>,
        leadership: Leadership,
    }

    impl Controller for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn leadership(&self) -> Leadership {
            self.leadership.clone()
        }

        fn run(&mut self) -> BoxFuture<'_, ()> {
            Box::pin(async {
                let (sender, end) = oneshot::channel();
                self.runs.send(Run(sender)).unwrap_or_else(|_| panic!("the test is over"));
                end.await.unwrap().unwrap_or_else(|message| panic!("{message}"));
            })
        }
    }

    /// Elects for terms that the test ends.
    struct Terms(mpsc::UnboundedSender<oneshot::Sender<()>>);

    impl Elector for Terms {
        fn elect(&self, work: &'static str) -> BoxFuture<'_, Term> {
            assert_eq!(work, "scripted");
            let (sender, end) = oneshot::channel();
            self.0.send(sender).unwrap();
            Box::pin(async { Term::until(async { drop(end.await) }) })
        }
    }

    struct Lab {
        supervisor: Supervisor,
        runs: mpsc::UnboundedReceiver<Run>,
        metrics: Arc<Metrics>,
    }

    impl Lab {
        fn new(leadership: Leadership, first_delay: Duration) -> Self {
            let metrics = Arc::new(Metrics::new());
            let policy = RestartPolicy { first: first_delay, longest: first_delay, stable: LONG };
            let mut supervisor = Supervisor { policy, ..Supervisor::new(metrics.clone()) };
            let (sender, runs) = mpsc::unbounded_channel();
            let controller: Box<dyn Controller> = Box::new(Scripted { runs: sender, leadership });
            supervisor.start_all([controller]);
            Self { supervisor, runs, metrics }
        }

        async fn next_run(&mut self) -> Run {
            soon(self.runs.recv()).await.expect("the controller runs")
        }

        fn restarts(&self) -> u64 {
            self.metrics.controller_restarts("scripted").get()
        }
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        time::timeout(DEADLINE, future).await.expect("it happens in time")
    }

    #[tokio::test]
    async fn controllers_that_return_or_panic_are_restarted() {
        let mut lab = Lab::new(Leadership::EveryReplica, SHORT);
        lab.next_run().await.0.send(Ok(())).unwrap();
        lab.next_run().await.0.send(Err("a panic of the test")).unwrap();
        let _running = lab.next_run().await;
        assert_eq!(lab.restarts(), 2);
        let line = "imagestream_apiserver_controller_restarts_total{controller=\"scripted\"} 2";
        assert!(lab.metrics.text().contains(line), "{}", lab.metrics.text());
    }

    #[tokio::test]
    async fn shutdown_stops_running_and_delayed_controllers() {
        let mut running = Lab::new(Leadership::EveryReplica, SHORT);
        let mut run = running.next_run().await;
        soon(running.supervisor.shutdown()).await;
        soon(run.0.closed()).await;
        let mut delayed = Lab::new(Leadership::EveryReplica, LONG);
        delayed.next_run().await.0.send(Ok(())).unwrap();
        soon(delayed.supervisor.shutdown()).await;
        assert!(soon(delayed.runs.recv()).await.is_none(), "it never runs again");
    }

    #[tokio::test]
    async fn an_elected_controller_runs_only_during_its_terms() {
        let (sender, mut terms) = mpsc::unbounded_channel();
        let mut lab = Lab::new(Leadership::Elected(Arc::new(Terms(sender))), LONG);
        for _ in 0..2 {
            let term = soon(terms.recv()).await.unwrap();
            let mut run = lab.next_run().await;
            term.send(()).unwrap();
            soon(run.0.closed()).await;
        }
        let _term = soon(terms.recv()).await.unwrap();
        let mut run = lab.next_run().await;
        assert_eq!(lab.restarts(), 0, "the end of a term is no failure");
        soon(lab.supervisor.shutdown()).await;
        soon(run.0.closed()).await;
    }
}
