//! The queue of imports: the targets of all streams that need an import now or later, with the times
//! of their next attempts. It is rebuilt from the streams after a start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ready_queue::{ReadyQueue, RegistryHealth, SlotLimits, UnitKey};
use super::tracked_target::{Moment, ObservationKind, TrackedTarget};
use crate::api::{ImageStream, TagReference};
use crate::domain::import::{self, ImportTarget, RetryPolicy};
use crate::domain::tag_source::StreamKey;
use crate::domain::tags;
use crate::machinery::json;
use crate::resources::import::{TargetAttempt, TargetResult};

/// Maximum number of targets of one import. More are imported in several transactions.
const MAX_TARGETS: usize = 50;

/// The settings of the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Limits on concurrent imports.
    pub(super) slots: SlotLimits,
    /// Maximum number of targets of one namespace.
    pub(super) namespace_targets: usize,
}

/// The queue.
pub(super) struct ImportQueue {
    policy: RetryPolicy,
    limits: QueueLimits,
    random: fastrand::Rng,
    streams: HashMap<Arc<StreamKey>, TrackedStream>,
    /// Units that wait for the next attempt of one of their targets.
    timers: BTreeSet<(Instant, UnitKey)>,
    ready: ReadyQueue,
    /// Numbers of targets by namespace.
    targets: HashMap<String, usize>,
}

/// A stream with targets.
#[derive(Default)]
struct TrackedStream {
    uid: String,
    units: HashMap<Arc<str>, Unit>,
}

/// The targets of a stream in one registry. They are imported together.
struct Unit {
    targets: BTreeMap<ImportTarget, TrackedTarget>,
    state: UnitState,
}

/// State of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnitState {
    /// It has a timer.
    Waiting(Instant),
    /// It is in the queue of ready work.
    Ready,
    /// An import runs.
    Running(Credentials),
}

/// Credentials of a running import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    /// The secrets of the namespace are those of the import.
    Current,
    /// The secrets changed since the start of the import.
    Outdated,
}

/// An import to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueuedImport {
    /// Unit.
    pub(super) unit: UnitKey,
    /// Targets whose attempt is due.
    pub(super) targets: Vec<TargetAttempt>,
}

/// A finished attempt of a target, for logs, events and metrics.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FinishedAttempt {
    /// Number of failed attempts before this one.
    pub(super) failed_before: u32,
    /// Time until the next attempt; `None` if there is none.
    pub(super) next: Option<Duration>,
}

/// Outcome of observing a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// All targets are in the queue.
    Tracked,
    /// The namespace has too many targets; those of the stream were left out.
    TooMany,
}

impl ImportQueue {
    /// An empty queue.
    pub(super) fn new(policy: RetryPolicy, limits: QueueLimits, random: fastrand::Rng) -> Self {
        Self {
            policy,
            limits,
            random,
            streams: HashMap::new(),
            timers: BTreeSet::new(),
            ready: ReadyQueue::new(limits.slots),
            targets: HashMap::new(),
        }
    }

    /// Records the state of a stream.
    pub(super) fn observe(
        &mut self,
        stream: &ImageStream,
        kind: ObservationKind,
        now: Instant,
    ) -> Admission {
        let key = Arc::new(StreamKey::of(stream));
        let needed = import::needed_imports(stream);
        let known = self.count(&key);
        let others = self.targets.get(&key.namespace).copied().unwrap_or_default() - known;
        let fits = others + needed.len() <= self.limits.namespace_targets;
        let mut units: HashMap<Arc<str>, BTreeMap<ImportTarget, TrackedTarget>> = HashMap::new();
        let uid = &stream.metadata.uid;
        let before = self.streams.get(&key).filter(|before| before.uid == *uid);
        // One number for all, so that targets of a unit stay together.
        let moment = Moment { policy: &self.policy, now, random: self.random.f64() };
        for needed in needed.iter().take(if fits { usize::MAX } else { known }) {
            let unit = before.and_then(|before| before.units.get(&*needed.registry));
            let old = unit.and_then(|unit| unit.targets.get(&needed.target));
            let source = source_hash(stream, &needed.target);
            let observed = TrackedTarget::observed(old, needed.need, source, kind, &moment);
            let unit = units.entry(needed.registry.as_str().into()).or_default();
            unit.insert(needed.target.clone(), observed);
        }
        self.replace(&key, uid, units);
        if fits { Admission::Tracked } else { Admission::TooMany }
    }

    /// Forgets a deleted stream.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.replace(&Arc::new(key.clone()), "", HashMap::new());
    }

    /// Makes all failed attempts in a namespace due, because its secrets changed.
    pub(super) fn retry_namespace(&mut self, namespace: &str, now: Instant) {
        let keys: Vec<Arc<StreamKey>> =
            self.streams.keys().filter(|key| key.namespace == namespace).cloned().collect();
        for key in keys {
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            for (registry, unit) in &mut stream.units {
                unit.retry_at_once(now);
                let unit_key = UnitKey { stream: key.clone(), registry: registry.clone() };
                unit.schedule(&unit_key, &mut self.timers);
            }
        }
    }

    /// Takes the next import that is due and has a slot; `None` if there is none.
    pub(super) fn pop(&mut self, now: Instant) -> Option<QueuedImport> {
        while let Some((due, _)) = self.timers.first()
            && *due <= now
            && let Some((_, key)) = self.timers.pop_first()
        {
            if let Some(unit) = unit(&mut self.streams, &key) {
                unit.state = UnitState::Ready;
                self.ready.push(key);
            }
        }
        loop {
            let key = self.ready.pop()?;
            let due = unit(&mut self.streams, &key).map(|unit| unit.begin(now));
            match due {
                Some(targets) if !targets.is_empty() => {
                    return Some(QueuedImport { unit: key, targets });
                }
                _ => {
                    self.ready.end(&key, RegistryHealth::Unknown);
                    self.settle_unit(&key);
                }
            }
        }
    }

    /// Records the results of an import, one for each of its targets in any order, and returns
    /// them with the times of the next attempts.
    pub(super) fn finish(
        &mut self,
        key: &UnitKey,
        results: &[TargetResult],
        health: RegistryHealth,
        now: Instant,
    ) -> Vec<FinishedAttempt> {
        self.ready.end(key, health);
        let moment = Moment { policy: &self.policy, now, random: self.random.f64() };
        let mut finished = Vec::new();
        for result in results {
            let target =
                unit(&mut self.streams, key).and_then(|unit| unit.targets.get_mut(&result.target));
            finished.push(match target {
                None => FinishedAttempt { failed_before: 0, next: None },
                Some(target) => {
                    let failed_before = target.attempts();
                    target.finish(result, &moment);
                    let next = Some(target.due().saturating_duration_since(now));
                    FinishedAttempt { failed_before, next }
                }
            });
        }
        if let Some(unit) = unit(&mut self.streams, key)
            && unit.state == UnitState::Running(Credentials::Outdated)
        {
            unit.retry_at_once(now);
        }
        self.settle_unit(key);
        finished
    }

    /// Records that an import could not be run, for a reason of this server.
    pub(super) fn abandon(&mut self, import: &QueuedImport, now: Instant) {
        self.ready.end(&import.unit, RegistryHealth::Unknown);
        let moment = Moment { policy: &self.policy, now, random: self.random.f64() };
        if let Some(unit) = unit(&mut self.streams, &import.unit) {
            for TargetAttempt { target, .. } in &import.targets {
                if let Some(target) = unit.targets.get_mut(target) {
                    target.postpone(&moment);
                }
            }
        }
        self.settle_unit(&import.unit);
    }

    /// The time of the next attempt that waits for its time; `None` if there is none.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The number of ready imports, which wait for a slot.
    pub(super) fn waiting(&self) -> usize {
        self.ready.waiting()
    }

    /// The number of targets.
    pub(super) fn targets(&self) -> usize {
        self.targets.values().sum()
    }

    /// The number of targets that have failed for this long.
    pub(super) fn failing_for(&self, duration: Duration, now: Instant) -> usize {
        let units = self.streams.values().flat_map(|stream| stream.units.values());
        let targets = units.flat_map(|unit| unit.targets.values());
        targets.filter(|target| target.is_failing_for(duration, now)).count()
    }

    /// The time since the earliest attempt that is due and did not start.
    pub(super) fn oldest_due(&self, now: Instant) -> Duration {
        let units = self.streams.values().flat_map(|stream| stream.units.values());
        let waiting = units.filter(|unit| !matches!(unit.state, UnitState::Running(_)));
        let oldest = waiting.filter_map(|unit| Unit::next_due(&unit.targets)).min();
        oldest.map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }

    fn count(&self, key: &Arc<StreamKey>) -> usize {
        let stream = self.streams.get(key);
        stream.map_or(0, |stream| stream.units.values().map(|unit| unit.targets.len()).sum())
    }

    /// Replaces the targets of a stream. Units that run or are ready stay until they are taken.
    fn replace(
        &mut self,
        key: &Arc<StreamKey>,
        uid: &str,
        mut targets: HashMap<Arc<str>, BTreeMap<ImportTarget, TrackedTarget>>,
    ) {
        let (before, after) = (self.count(key), targets.values().map(BTreeMap::len).sum::<usize>());
        let (key, mut stream) = match self.streams.remove_entry(key) {
            Some(entry) => entry,
            None => (key.clone(), TrackedStream::default()),
        };
        uid.clone_into(&mut stream.uid);
        for (registry, unit) in &mut stream.units {
            unit.targets = targets.remove(registry).unwrap_or_default();
            let unit_key = UnitKey { stream: key.clone(), registry: registry.clone() };
            unit.schedule(&unit_key, &mut self.timers);
        }
        stream.units.retain(|_, unit| !unit.is_idle());
        for (registry, targets) in targets {
            let due = Unit::next_due(&targets);
            let Some(due) = due else { continue };
            let unit_key = UnitKey { stream: key.clone(), registry: registry.clone() };
            self.timers.insert((due, unit_key));
            stream.units.insert(registry, Unit { targets, state: UnitState::Waiting(due) });
        }
        let count = self.targets.entry(key.namespace.clone()).or_default();
        *count = *count + after - before;
        if *count == 0 {
            self.targets.remove(&key.namespace);
        }
        if !stream.units.is_empty() {
            self.streams.insert(key, stream);
        }
    }

    /// Sets the timer of a unit whose import ended, and drops it if it has no targets.
    fn settle_unit(&mut self, key: &UnitKey) {
        let Some(stream) = self.streams.get_mut(&key.stream) else { return };
        let Some(unit) = stream.units.get_mut(&key.registry) else { return };
        match Unit::next_due(&unit.targets) {
            Some(due) => {
                unit.state = UnitState::Waiting(due);
                self.timers.insert((due, key.clone()));
            }
            None => {
                stream.units.remove(&key.registry);
                if stream.units.is_empty() {
                    self.streams.remove(&key.stream);
                }
            }
        }
    }
}

impl Unit {
    fn next_due(targets: &BTreeMap<ImportTarget, TrackedTarget>) -> Option<Instant> {
        targets.values().map(TrackedTarget::due).min()
    }

    /// Returns true if nothing refers to the unit.
    fn is_idle(&self) -> bool {
        self.targets.is_empty() && matches!(self.state, UnitState::Waiting(_))
    }

    /// Moves the timer to the earliest attempt.
    fn schedule(&mut self, key: &UnitKey, timers: &mut BTreeSet<(Instant, UnitKey)>) {
        let UnitState::Waiting(before) = self.state else { return };
        timers.remove(&(before, key.clone()));
        if let Some(due) = Self::next_due(&self.targets) {
            timers.insert((due, key.clone()));
            self.state = UnitState::Waiting(due);
        }
    }

    /// Makes all failed attempts due, and those that are running and will fail.
    fn retry_at_once(&mut self, now: Instant) {
        self.targets.values_mut().for_each(|target| target.retry_at_once(now));
        if let UnitState::Running(credentials) = &mut self.state {
            *credentials = Credentials::Outdated;
        }
    }

    /// Starts an import, and returns the targets that are due.
    fn begin(&mut self, now: Instant) -> Vec<TargetAttempt> {
        self.state = UnitState::Running(Credentials::Current);
        let due = self.targets.iter().filter(|(_, tracked)| tracked.due() <= now);
        let attempts = due.map(|(target, tracked)| TargetAttempt {
            target: target.clone(),
            kind: tracked.kind(),
        });
        attempts.take(MAX_TARGETS).collect()
    }
}

fn unit<'a>(
    streams: &'a mut HashMap<Arc<StreamKey>, TrackedStream>,
    key: &UnitKey,
) -> Option<&'a mut Unit> {
    streams.get_mut(&key.stream)?.units.get_mut(&key.registry)
}

/// The hash of the spec of a target, without the generation, which imports raise.
fn source_hash(stream: &ImageStream, target: &ImportTarget) -> u64 {
    let mut hasher = DefaultHasher::new();
    match target {
        ImportTarget::Repository => stream.spec.docker_image_repository.hash(&mut hasher),
        ImportTarget::Tag(tag) => {
            let spec_tag = tags::spec_tag(stream, tag).cloned();
            let spec_tag = spec_tag.map(|tag| TagReference { generation: None, ..tag });
            json::encode(&spec_tag).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
