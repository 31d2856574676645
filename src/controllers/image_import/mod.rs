//! The import controller: imports spec tags of streams when they are new or changed, checks scheduled
//! ones at intervals, and repeats failed imports. One replica runs it.
//!
//! As openshift-controller-manager pkg/image/controller, which does not repeat failed imports.
//!
//! All state that must last is in the store: conditions of failed imports in the streams, and the
//! sources of scheduled tags in rows beside them, written in the transactions of the imports. The
//! queue with the times of the next attempts is rebuilt after a start.

mod import_queue;
mod options;
mod ready_queue;
mod report;
mod tracked_target;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant};
use tracing::{info, warn};

pub use options::Options;

use self::import_queue::{Admission, ImportQueue, QueueLimits, QueuedImport};
use self::ready_queue::{RegistryHealth, SlotLimits};
use self::report::ImportReporter;
use self::tracked_target::ObservationKind;
use super::controller::{Controller, Leadership};
use super::import_signals::ImportSignals;
use crate::api::ImageStream;
use crate::domain::import::{FailureClass, RetryPolicy};
use crate::domain::tag_source::StreamKey;
use crate::meta::{Status, Time};
use crate::registry::follower::{DeletedObject, StoredChange};
use crate::resources::import::{StreamImport, StreamImporter, TargetOutcome, TargetResult};
use crate::store::{Elector, TermGuard};
use crate::telemetry::OnceEach;
use crate::telemetry::import_metrics::{ImportBacklog, ImportMetrics};

/// Limits of the queue. Most imports wait for registries, so there are more than processors.
const LIMITS: QueueLimits = QueueLimits {
    slots: SlotLimits {
        total: 32,
        namespace: 16,
        registry: 4,
        probation: 16,
        namespace_probation: 8,
    },
    namespace_targets: 50_000,
};
/// Maximum duration of an import. Requests have shorter limits of their own.
const MAX_DURATION: Duration = Duration::from_secs(10 * 60);
/// Delay before the streams are read again after the watch ended.
const FOLLOW_DELAY: Duration = Duration::from_secs(5);
/// Time between two updates of the gauges.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);
/// Time for which imports of a tag must fail to count as lasting.
const LONG_FAILURE: Duration = Duration::from_secs(60 * 60);
/// Maximum number of namespaces whose excess is logged.
const MAX_LOGGED: usize = 1000;

/// Imports images by itself.
pub struct ImageImportController {
    importer: Arc<StreamImporter>,
    elector: Arc<dyn Elector>,
    policy: RetryPolicy,
    /// Namespaces whose secrets changed; pending for ever without such news.
    changed_secrets: BoxStream<'static, BTreeSet<String>>,
    reporter: ImportReporter,
    metrics: ImportMetrics,
    term: Option<TermGuard>,
}

/// The subjects of the import controller.
pub struct ImageImports {
    /// Importer into the streams of the server.
    pub importer: StreamImporter,
    /// Delays between attempts.
    pub policy: RetryPolicy,
    /// Connections to people and to the control plane.
    pub signals: ImportSignals,
}

/// The end of an import.
struct EndedImport {
    import: QueuedImport,
    results: Result<Vec<TargetResult>, Status>,
    duration: Duration,
}

/// One run of the controller.
struct Run<'a> {
    importer: &'a Arc<StreamImporter>,
    reporter: &'a ImportReporter,
    queue: ImportQueue,
    backlog: ImportBacklog,
    running: JoinSet<EndedImport>,
    observation: ObservationKind,
    /// Namespaces with too many targets that were logged.
    logged: OnceEach<String>,
    /// The term of the run, which its writes compare.
    term: Option<TermGuard>,
}

impl ImageImportController {
    /// The controller on the replica that `elector` elects.
    pub fn new(imports: ImageImports, elector: Arc<dyn Elector>) -> Self {
        let ImageImports { importer, policy, signals } = imports;
        let ImportSignals { changed_secrets, events, metrics } = signals;
        let reporter = ImportReporter::new(events, metrics.clone());
        let importer = Arc::new(importer);
        Self { importer, elector, policy, changed_secrets, reporter, metrics, term: None }
    }

    /// Imports until the controller is dropped.
    async fn import_always(&mut self) {
        loop {
            let queue = ImportQueue::new(self.policy, LIMITS, fastrand::Rng::new());
            let mut run = Run {
                importer: &self.importer,
                reporter: &self.reporter,
                queue,
                backlog: self.metrics.backlog(),
                running: JoinSet::new(),
                observation: ObservationKind::Existing,
                logged: OnceEach::bounded(MAX_LOGGED),
                term: self.term.clone(),
            };
            let status = run.until_failure(&mut self.changed_secrets).await;
            let error = status.hidden.as_ref().unwrap_or(&status.message);
            warn!(error, "image streams cannot be followed, imports start over");
            time::sleep(FOLLOW_DELAY).await;
        }
    }
}

impl Controller for ImageImportController {
    fn name(&self) -> &'static str {
        "image-import"
    }

    fn leadership(&self) -> Leadership {
        Leadership::Elected(self.elector.clone())
    }

    fn begin_term(&mut self, guard: Option<TermGuard>) {
        self.term = guard;
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.import_always())
    }
}

impl Run<'_> {
    /// Imports until the streams cannot be followed.
    async fn until_failure(
        &mut self,
        changed_secrets: &mut BoxStream<'static, BTreeSet<String>>,
    ) -> Status {
        let mut follower = self.importer.follow();
        let mut measures = time::interval(MEASURE_INTERVAL);
        loop {
            let is_synced = self.observation == ObservationKind::Written;
            let due = self.queue.next_due().filter(|_| is_synced);
            tokio::select! {
                change = follower.next() => match change {
                    Ok(change) => self.observe(change),
                    Err(status) => return status,
                },
                Some(ended) = self.running.join_next() => self.end(ended),
                Some(namespaces) = changed_secrets.next() => self.retry(&namespaces),
                () = until(due) => {}
                _ = measures.tick() => self.measure(),
            }
            if self.observation == ObservationKind::Written {
                self.start_due();
            }
        }
    }

    fn measure(&self) {
        let now = Instant::now();
        self.backlog.set_queue(self.queue.waiting(), self.queue.oldest_due(now));
        self.backlog.set_failing_tags(self.queue.failing_for(LONG_FAILURE, now));
    }

    fn observe(&mut self, change: StoredChange<ImageStream>) {
        match change {
            StoredChange::Applied(stream) => {
                let admission = self.queue.observe(&stream, self.observation, Instant::now());
                let namespace = &stream.metadata.namespace;
                if admission == Admission::TooMany && self.logged.record(namespace.clone()) {
                    let limit = LIMITS.namespace_targets;
                    warn!(
                        namespace,
                        limit, "the namespace has too many tags to import, some are left out"
                    );
                }
            }
            StoredChange::Deleted(DeletedObject { namespace, name }) => {
                self.queue.forget(&StreamKey { namespace, name });
            }
            StoredChange::Unreadable(error) => {
                warn!(error, "an image stream cannot be read, its tags are not imported");
            }
            StoredChange::Synced => {
                self.observation = ObservationKind::Written;
                info!(targets = self.queue.targets(), "imports of image streams begin");
            }
        }
    }

    fn retry(&mut self, namespaces: &BTreeSet<String>) {
        for namespace in namespaces {
            self.importer.forget_credentials(namespace);
            self.queue.retry_namespace(namespace, Instant::now());
        }
    }

    /// Starts the imports that are due and have a slot.
    fn start_due(&mut self) {
        while let Some(import) = self.queue.pop(Instant::now()) {
            let (importer, term) = (self.importer.clone(), self.term.clone());
            self.running.spawn(async move {
                let started = Instant::now();
                let (stream, targets) = (&import.unit.stream, import.targets.clone());
                let (namespace, name) = (stream.namespace.clone(), stream.name.clone());
                let request = StreamImport { namespace, name, targets, term };
                let results =
                    time::timeout(MAX_DURATION, importer.run(&request, Time::now())).await;
                let timed_out = |_| Err(Status::timeout("the import took too long"));
                let results = results.unwrap_or_else(timed_out);
                EndedImport { import, results, duration: started.elapsed() }
            });
        }
    }

    fn end(&mut self, ended: Result<EndedImport, JoinError>) {
        let EndedImport { import, results, duration } = match ended {
            Ok(ended) => ended,
            // The supervisor starts over.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        let now = Instant::now();
        match results {
            Ok(results) => {
                let health = health(&results);
                let finished = self.queue.finish(&import.unit, &results, health, now);
                for (result, finished) in results.iter().zip(&finished) {
                    self.reporter.report(&import.unit, result, finished, duration);
                }
            }
            Err(status) => {
                self.queue.abandon(&import, now);
                let StreamKey { namespace, name } = &*import.unit.stream;
                let error = status.hidden.as_ref().unwrap_or(&status.message);
                warn!(namespace, name, error, "an import could not be run or recorded");
            }
        }
    }
}

/// Waits until a time, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The health of a registry after an import.
fn health(results: &[TargetResult]) -> RegistryHealth {
    let is_silent = |result: &TargetResult| {
        result.failure().is_some_and(|failed| failed.details.class == FailureClass::Transient)
    };
    let is_attempt = |result: &&TargetResult| {
        let outcome = &result.outcome;
        !matches!(outcome, TargetOutcome::Unneeded | TargetOutcome::Throttled { .. })
    };
    let mut attempts = results.iter().filter(is_attempt).peekable();
    if attempts.peek().is_none() {
        return RegistryHealth::Unknown;
    }
    match attempts.all(is_silent) {
        true => RegistryHealth::Failing,
        false => RegistryHealth::Responding,
    }
}
