//! A target in the queue of imports: its need, and the time of its next attempt.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::import::{FailureClass, ImportNeed, RetryPolicy};
use crate::resources::import::{TargetOutcome, TargetResult, TryKind};

/// Time until the attempt after one whose target changed meanwhile.
const SUPERSEDED_DELAY: Duration = Duration::from_secs(1);

/// Kind of an observation of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObservationKind {
    /// The stream existed at the start. Attempts that may be overdue are spread.
    Existing,
    /// The stream was written.
    Written,
}

/// A target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrackedTarget {
    need: ImportNeed,
    /// Hash of the spec without its generation.
    source: u64,
    /// Generation of the last attempt.
    done: Option<i64>,
    /// Failed attempts since the last successful one.
    attempts: u32,
    failing_since: Option<Instant>,
    due: Instant,
}

/// The environment of an observation or a result: settings, time and chance.
pub(super) struct Moment<'a> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) now: Instant,
    /// A random number from 0 to 1.
    pub(super) random: f64,
}

impl Moment<'_> {
    fn check(&self) -> Instant {
        self.now + self.policy.until_check(self.random)
    }

    fn retry(&self, class: FailureClass, attempts: u32, retry_after: Option<Duration>) -> Instant {
        self.now + self.policy.until_retry(class, attempts, retry_after, self.random)
    }
}

impl TrackedTarget {
    /// The target after an observation of its stream. `old` is the target before, `source` the hash
    /// of its spec without the generation.
    pub(super) fn observed(
        old: Option<&Self>,
        need: ImportNeed,
        source: u64,
        kind: ObservationKind,
        moment: &Moment<'_>,
    ) -> Self {
        let Some(old) = old else { return Self::first(need, source, kind, moment) };
        if old.source != source {
            return Self { done: old.done, ..Self::changed(need, source, moment) };
        }
        let mut target = Self { need, ..old.clone() };
        match (old.need, need) {
            (_, ImportNeed::New { generation }) if old.done.is_some_and(|it| it >= generation) => {
                // A state before the last attempt, which the watch delivers late.
                target.need = old.need;
            }
            (before, ImportNeed::New { .. }) if before == need => {}
            (_, ImportNeed::New { .. }) => {
                (target.attempts, target.due) = (0, moment.now);
            }
            (ImportNeed::Failed, ImportNeed::Failed)
            | (ImportNeed::Scheduled, ImportNeed::Scheduled) => {}
            // By another import, or by one that is just ending and sets the time again.
            (_, ImportNeed::Failed) => {
                target.failing_since.get_or_insert(moment.now);
                target.due = moment.retry(FailureClass::Transient, 1, None);
            }
            (_, ImportNeed::Scheduled) => {
                (target.attempts, target.failing_since) = (0, None);
                target.due = moment.check();
            }
        }
        target
    }

    /// A target that was not known.
    fn first(need: ImportNeed, source: u64, kind: ObservationKind, moment: &Moment<'_>) -> Self {
        let overdue = moment.now + moment.policy.until_overdue(moment.random);
        let due = match (need, kind) {
            (ImportNeed::New { .. }, _) => moment.now,
            (_, ObservationKind::Existing) => overdue,
            (ImportNeed::Failed, ObservationKind::Written) => {
                moment.retry(FailureClass::Transient, 1, None)
            }
            (ImportNeed::Scheduled, ObservationKind::Written) => moment.check(),
        };
        let failing_since = (need == ImportNeed::Failed).then_some(moment.now);
        Self { need, source, done: None, attempts: 0, failing_since, due }
    }

    /// A target whose spec changed.
    fn changed(need: ImportNeed, source: u64, moment: &Moment<'_>) -> Self {
        let target = Self::first(need, source, ObservationKind::Written, moment);
        match need {
            ImportNeed::Scheduled => target,
            ImportNeed::New { .. } | ImportNeed::Failed => Self { due: moment.now, ..target },
        }
    }

    /// Records the result of an attempt.
    pub(super) fn finish(&mut self, result: &TargetResult, moment: &Moment<'_>) {
        self.done = self.done.max(Some(result.generation));
        // The spec may have changed again behind the attempt.
        if let ImportNeed::New { generation } = self.need
            && generation > result.generation
        {
            self.due = moment.now;
            return;
        }
        match &result.outcome {
            TargetOutcome::Failed(_) => self.need = ImportNeed::Failed,
            TargetOutcome::Imported { .. } => self.need = ImportNeed::Scheduled,
            _ => {}
        }
        match &result.outcome {
            TargetOutcome::Imported { .. } | TargetOutcome::Unchanged | TargetOutcome::Unneeded => {
                (self.attempts, self.failing_since) = (0, None);
                self.due = moment.check();
            }
            TargetOutcome::Failed(failed) | TargetOutcome::CheckFailed(failed) => {
                self.attempts = self.attempts.saturating_add(1);
                self.failing_since.get_or_insert(moment.now);
                let details = &failed.details;
                self.due = moment.retry(details.class, self.attempts, details.retry_after);
            }
            TargetOutcome::Throttled { retry_after } => {
                self.due = moment.retry(FailureClass::Throttled, 1, Some(*retry_after));
            }
            TargetOutcome::Superseded => self.due = moment.now + SUPERSEDED_DELAY,
        }
    }

    /// Records that an attempt could not be made.
    pub(super) fn postpone(&mut self, moment: &Moment<'_>) {
        self.attempts = self.attempts.saturating_add(1);
        self.due = moment.retry(FailureClass::Transient, self.attempts, None);
    }

    /// Makes the next attempt due if the last one failed.
    pub(super) fn retry_at_once(&mut self, now: Instant) {
        if self.attempts > 0 || self.need == ImportNeed::Failed {
            self.due = now;
        }
    }

    /// The time of the next attempt.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The kind of the next attempt. After a failure the target is imported: a check has no result
    /// that could be recorded.
    pub(super) fn kind(&self) -> TryKind {
        match (self.need, self.attempts) {
            (ImportNeed::Scheduled, 0) => TryKind::Check,
            _ => TryKind::Import,
        }
    }

    /// The number of failed attempts since the last successful one.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns true if the target has failed for this long.
    pub(super) fn is_failing_for(&self, duration: Duration, now: Instant) -> bool {
        self.failing_since.is_some_and(|since| now.saturating_duration_since(since) >= duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::import::ImportTarget;
    use crate::meta::Status;
    use crate::resources::import::{FailedAttempt, FailureDetails};

    const SECOND: Duration = Duration::from_secs(1);
    const NEW: ImportNeed = ImportNeed::New { generation: 1 };

    /// Observations and results at seconds after a start, with the chance 0.5.
    struct Lab {
        policy: RetryPolicy,
        start: Instant,
    }

    impl Lab {
        fn new() -> Self {
            let policy = RetryPolicy::with_interval(900 * SECOND);
            Self { policy, start: Instant::now() }
        }

        fn at(&self, seconds: u32) -> Moment<'_> {
            Moment { policy: &self.policy, now: self.start + seconds * SECOND, random: 0.5 }
        }

        fn due(&self, target: &TrackedTarget) -> u64 {
            (target.due() - self.start).as_secs()
        }

        fn written(&self, old: Option<&TrackedTarget>, need: ImportNeed, at: u32) -> TrackedTarget {
            TrackedTarget::observed(old, need, 7, ObservationKind::Written, &self.at(at))
        }
    }

    fn result(generation: i64, outcome: TargetOutcome) -> TargetResult {
        let target = ImportTarget::Repository;
        let (uid, source) = (String::new(), String::new());
        TargetResult { uid, target, need: None, source, generation, outcome }
    }

    fn failed(class: FailureClass) -> FailedAttempt {
        let (http_status, retry_after, credential) = (None, None, None);
        let details = FailureDetails { class, http_status, retry_after, credential };
        FailedAttempt::new(&Status::bad_request("x"), details)
    }

    #[test]
    fn new_targets_are_due_and_known_ones_spread() {
        let lab = Lab::new();
        let first = |need, kind| lab.due(&TrackedTarget::observed(None, need, 7, kind, &lab.at(0)));
        assert_eq!(first(NEW, ObservationKind::Existing), 0);
        assert_eq!(first(ImportNeed::Failed, ObservationKind::Existing), 450);
        assert_eq!(first(ImportNeed::Failed, ObservationKind::Written), 11);
        assert_eq!(first(ImportNeed::Scheduled, ObservationKind::Existing), 450);
        assert_eq!(first(ImportNeed::Scheduled, ObservationKind::Written), 900);
    }

    #[test]
    fn failures_are_repeated_by_imports_with_longer_delays() {
        let lab = Lab::new();
        let mut target = lab.written(None, ImportNeed::Scheduled, 0);
        assert_eq!(target.kind(), TryKind::Check);
        let mut due = Vec::new();
        for _ in 0..3 {
            let failed = TargetOutcome::CheckFailed(failed(FailureClass::Transient));
            target.finish(&result(1, failed), &lab.at(0));
            assert_eq!(target.kind(), TryKind::Import);
            due.push(lab.due(&target));
        }
        target.finish(&result(1, TargetOutcome::Unchanged), &lab.at(0));
        due.push(lab.due(&target));
        assert_eq!((due, target.kind()), (vec![11, 22, 44, 900], TryKind::Check));
    }

    #[test]
    fn own_write_keeps_the_time_in_either_order() {
        let lab = Lab::new();
        let new = lab.written(None, NEW, 0);
        let fail = result(2, TargetOutcome::Failed(failed(FailureClass::Refused)));
        let mut late = new.clone();
        late.finish(&fail, &lab.at(1));
        let late = lab.written(Some(&late), ImportNeed::Failed, 2);
        let late_again = lab.written(Some(&late), NEW, 2);
        let mut early = lab.written(Some(&new), ImportNeed::Failed, 1);
        early.finish(&fail, &lab.at(1));
        assert_eq!([&late, &late_again, &early].map(|it| lab.due(it)), [67, 67, 67]);
        assert_eq!([&late, &early].map(|it| it.attempts()), [1, 1]);
    }

    #[test]
    fn changes_are_due_at_once() {
        let lab = Lab::new();
        let mut target = lab.written(None, NEW, 0);
        let fail = result(2, TargetOutcome::Failed(failed(FailureClass::Refused)));
        target.finish(&fail, &lab.at(0));
        let bumped = lab.written(Some(&target), ImportNeed::New { generation: 3 }, 5);
        assert_eq!((lab.due(&bumped), bumped.attempts()), (5, 0));
        let other = ObservationKind::Written;
        let other =
            TrackedTarget::observed(Some(&target), ImportNeed::Failed, 8, other, &lab.at(6));
        assert_eq!(lab.due(&other), 6);
        target.retry_at_once(lab.at(7).now);
        assert_eq!(lab.due(&target), 7);
    }

    #[test]
    fn change_during_an_attempt_is_not_lost() {
        let lab = Lab::new();
        let target = lab.written(None, NEW, 0);
        let mut target = lab.written(Some(&target), ImportNeed::New { generation: 5 }, 1);
        target.finish(&result(4, TargetOutcome::Unchanged), &lab.at(2));
        assert_eq!(lab.due(&target), 2);
        target.finish(&result(6, TargetOutcome::Unchanged), &lab.at(3));
        assert_eq!(lab.due(&target), 903);
    }

    #[test]
    fn failing_time_is_that_since_the_first_failure() {
        let lab = Lab::new();
        let mut target = lab.written(None, NEW, 0);
        for at in [10, 1000] {
            let fail = TargetOutcome::Failed(failed(FailureClass::Transient));
            target.finish(&result(2, fail), &lab.at(at));
        }
        let hour = 3600 * SECOND;
        assert!(!target.is_failing_for(hour, lab.at(3600).now));
        assert!(target.is_failing_for(hour, lab.at(3610).now));
    }
}
