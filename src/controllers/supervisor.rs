//! The supervisor of controllers: starts them, restarts those that end, and stops them all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tracing::{error, info};

use super::controller::{Controller, Leadership};
use crate::runtime::Backoff;
use crate::store::Term;
use crate::telemetry::caught_panic;
use crate::telemetry::controller_metrics::ElectedGauge;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// The controllers of a server. Dropping it stops them.
pub struct Supervisor {
    tasks: JoinSet<()>,
    metrics: Arc<Metrics>,
    policy: RestartPolicy,
    /// Set once this replica resigns. Each elected controller holds a receiver.
    resignation: watch::Sender<bool>,
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
    /// This replica must let another one be elected.
    Resigned,
    /// The controller ended by itself, for this reason.
    Failed(String),
}

impl Supervisor {
    /// A supervisor without controllers.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let resignation = watch::Sender::new(false);
        Self { tasks: JoinSet::new(), metrics, policy: RESTARTS, resignation }
    }

    /// Starts controllers.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start_all(&mut self, controllers: impl IntoIterator<Item = Box<dyn Controller>>) {
        for controller in controllers {
            let resignation = match controller.leadership() {
                Leadership::EveryReplica => Resignation(None),
                Leadership::Elected(_) => Resignation(Some(self.resignation.subscribe())),
            };
            let (metrics, policy) = (self.metrics.clone(), self.policy);
            self.tasks.spawn(supervise(controller, metrics, policy, resignation));
        }
    }

    /// Stops the controllers that run on one replica only, and lets another replica be elected for
    /// them.
    pub async fn resign(&self) {
        self.resignation.send_replace(true);
        self.resignation.closed().await;
    }

    /// Stops all controllers at their next await, and waits for that.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The resignation of this replica; none for a controller of every replica.
struct Resignation(Option<watch::Receiver<bool>>);

impl Resignation {
    /// Waits until this replica resigns.
    async fn requested(&mut self) {
        match &mut self.0 {
            // Fails only without a supervisor, which stops all controllers.
            Some(requested) => drop(requested.wait_for(|requested| *requested).await),
            None => std::future::pending().await,
        }
    }
}

/// Runs a controller whenever this replica is elected for it. Returns when the replica resigns.
async fn supervise(
    mut controller: Box<dyn Controller>,
    metrics: Arc<Metrics>,
    policy: RestartPolicy,
    mut resignation: Resignation,
) {
    let name = controller.name();
    let restarts = metrics.controllers().restarts(name);
    let mut backoff = Backoff::new(policy.first, policy.longest);
    loop {
        let mut term = tokio::select! {
            term = elected_term(name, controller.leadership(), &metrics) => term,
            () = resignation.requested() => return,
        };
        controller.begin_term(term.term.guard());
        let started = Instant::now();
        let end = tokio::select! {
            end = run(&mut *controller, &mut term.term) => end,
            () = resignation.requested() => RunEnd::Resigned,
        };
        match end {
            RunEnd::TermOver => {
                info!(controller = name, "controller stopped: the term of this replica is over")
            }
            RunEnd::Resigned => {
                info!(controller = name, "controller stopped: this replica resigns");
                drop(term.gauge);
                return term.term.resign().await;
            }
            RunEnd::Failed(reason) => {
                drop(term);
                if started.elapsed() >= policy.stable {
                    backoff.reset();
                }
                let delay = backoff.next_delay();
                restarts.inc();
                let shown = log::rounded(delay);
                error!(controller = name, reason, delay = ?shown, "controller ended; restarting it");
                tokio::select! {
                    () = time::sleep(delay) => {}
                    () = resignation.requested() => return,
                }
            }
        }
    }
}

/// A term that metrics show.
struct ShownTerm {
    term: Term,
    gauge: Option<ElectedGauge>,
}

/// Waits until a controller may run on this replica.
async fn elected_term(name: &'static str, leadership: Leadership, metrics: &Metrics) -> ShownTerm {
    let Leadership::Elected(elector) = leadership else {
        return ShownTerm { term: Term::unlimited(), gauge: None };
    };
    metrics.controllers().show_election(name);
    let term = elector.elect(name).await;
    info!(controller = name, "controller started: this replica is elected");
    ShownTerm { term, gauge: Some(metrics.controllers().show_term(name)) }
}

/// Runs a controller until it ends or the term is over.
async fn run(controller: &mut dyn Controller, term: &mut Term) -> RunEnd {
    // The next run starts with the fields that a panic leaves. Controllers keep the state of a run
    // in locals of `run`, which are dropped.
    let run = caught_panic::catch_in(controller.run());
    tokio::select! {
        () = term.ended() => RunEnd::TermOver,
        end = run => RunEnd::Failed(match end {
            Ok(()) => "it returned".to_owned(),
            Err(panic) => panic.to_string(),
        }),
    }
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

    /// Elects nobody.
    struct Never;

    impl Elector for Never {
        fn elect(&self, _: &'static str) -> BoxFuture<'_, Term> {
            Box::pin(std::future::pending())
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
            self.metrics.controllers().restarts("scripted").get()
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
    async fn resignation_stops_elected_controllers_and_no_others() {
        let (sender, mut terms) = mpsc::unbounded_channel();
        let mut elected = Lab::new(Leadership::Elected(Arc::new(Terms(sender))), LONG);
        let mut waiting = Lab::new(Leadership::Elected(Arc::new(Never)), LONG);
        let mut common = Lab::new(Leadership::EveryReplica, LONG);
        let term = soon(terms.recv()).await.unwrap();
        let mut run = elected.next_run().await;
        assert!(elected.metrics.text().contains(&shown(1)), "{}", elected.metrics.text());
        let common_run = common.next_run().await;
        for lab in [&elected, &waiting, &common] {
            soon(lab.supervisor.resign()).await;
        }
        soon(run.0.closed()).await;
        assert!(term.is_closed(), "the replica has resigned");
        assert!(elected.metrics.text().contains(&shown(0)), "{}", elected.metrics.text());
        assert!(soon(waiting.runs.recv()).await.is_none(), "it never runs");
        assert!(!common_run.0.is_closed(), "it goes on");
    }

    /// Elects at once for a term whose resignation the test confirms.
    struct Resigning(mpsc::UnboundedSender<oneshot::Sender<()>>);

    impl Elector for Resigning {
        fn elect(&self, _: &'static str) -> BoxFuture<'_, Term> {
            let requests = self.0.clone();
            let resignation = async move {
                let (sender, confirmed) = oneshot::channel();
                requests.send(sender).unwrap();
                drop(confirmed.await);
            };
            let term = Term::unlimited().with_resignation(resignation);
            Box::pin(std::future::ready(term))
        }
    }

    #[tokio::test]
    async fn resignation_waits_until_another_replica_can_be_elected() {
        let (sender, mut requests) = mpsc::unbounded_channel();
        let mut lab = Lab::new(Leadership::Elected(Arc::new(Resigning(sender))), LONG);
        let _run = lab.next_run().await;
        let mut resigned = Box::pin(lab.supervisor.resign());
        let request = tokio::select! {
            request = soon(requests.recv()) => request.expect("it resigns"),
            () = &mut resigned => panic!("the lease is not revoked"),
        };
        assert!(time::timeout(SHORT, &mut resigned).await.is_err(), "it waits");
        request.send(()).unwrap();
        soon(resigned).await;
    }

    fn shown(value: u8) -> String {
        format!("leader_election_master_status{{name=\"scripted\"}} {value}")
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
