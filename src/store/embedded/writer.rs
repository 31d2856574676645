//! The writer: one thread that takes the queued jobs, performs them in one write transaction,
//! commits once, wakes the watchers, and then sends the results. [`super::group`] and
//! [`super::compact`] hold the work of each job.
//!
//! A failure of the group is a failure of the file: redb rejects every call after an I/O error, and
//! after a panic its state is unknown. No job of the group is acknowledged then, and
//! [`super::recover`] opens the file again, or the thread ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::store::{Incident, Outcome, Revision, StoreError, Txn};

use super::error::{panicked, store_error};
use super::group::{Effect, Finished, Group, GuardCheck};
use super::handle::Handle;
use super::job::Job;
use super::layout::Position;
use super::ledger::Ledger;
use super::read::Snapshot;
use super::recover::{Recovery, Reopened};
use super::repack::Repacking;
use super::space::{Room, Space};
use super::values::CommittedValues;

/// The most jobs that share one commit.
const GROUP_JOBS: usize = 256;
/// Bytes of values that share one commit. The last job of a group may exceed it.
const GROUP_BYTES: usize = 4 << 20;

/// The state of the writer's thread.
pub(super) struct Writer {
    pub(super) handle: Arc<Handle>,
    pub(super) space: Arc<Space>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// The latest revision, sent after the commit is durable and before it is acknowledged.
    pub(super) latest: watch::Sender<Revision>,
    pub(super) recovery: Recovery,
    pub(super) repacking: Repacking,
    /// True if an empty commit must release freed pages before values are written.
    pub(super) release_pages: bool,
}

impl Writer {
    /// Works until every sender of jobs is dropped or the store fails for good.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut group = self.gather(first);
            let written = catch_unwind(AssertUnwindSafe(|| self.write(&mut group)));
            match written.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(()) => group.into_iter().for_each(Job::finish),
                Err(failure) => {
                    let error = self.recover(failure);
                    group.into_iter().for_each(|job| job.fail(error.clone()));
                    if self.handle.generation().is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < GROUP_JOBS && bytes < GROUP_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.bytes();
            group.push(job);
        }
        group
    }

    fn write(&mut self, jobs: &mut [Job]) -> Result<(), StoreError> {
        let room = self.space.room();
        if self.release_pages && matches!(room, Room::Plenty) {
            self.commit_nothing()?;
        }
        let txn = self.handle.begin_write()?;
        // A failed group leaves none, and the next one begins again.
        let repacking = std::mem::take(&mut self.repacking);
        let read = |key: &[u8], at| self.read_value(key, at);
        let committed = CommittedValues { recent: self.handle.recent_values(), read: &read };
        let mut group = Group::open(&txn, &self.ledger, committed, repacking)?;
        for job in jobs {
            self.perform(&mut group, &room, job)?;
        }
        let revision = group.revision();
        let Finished { effect, accounts, reusable, repacking, values } = group.finish()?;
        match effect {
            Effect::Nothing => txn.abort().map_err(store_error)?,
            Effect::Changed => {
                txn.commit().map_err(store_error)?;
                for (at, value) in &values {
                    self.handle.recent_values().insert(*at, value);
                }
                self.handle.publish_commit()?;
                self.ledger.settle(accounts);
                self.space.set_reusable(reusable);
            }
        }
        self.repacking = repacking;
        self.send_latest(revision);
        Ok(())
    }

    /// The committed value of a key at a position; `None` if it is damaged.
    fn read_value(&self, key: &[u8], at: Position) -> Option<Bytes> {
        self.handle.read(|snapshot| snapshot.values().value(key, at)).unwrap_or(None)
    }

    /// Makes an empty commit: redb reuses the pages that a commit has freed only after the next
    /// one, so a completely full file would stay full although everything in it was deleted.
    fn commit_nothing(&mut self) -> Result<(), StoreError> {
        let txn = self.handle.begin_write()?;
        let read = |key: &[u8], at| self.read_value(key, at);
        let committed = CommittedValues { recent: self.handle.recent_values(), read: &read };
        let mut group = Group::open(&txn, &self.ledger, committed, Repacking::default())?;
        group.effect = Effect::Changed;
        group.finish()?;
        txn.commit().map_err(store_error)?;
        self.handle.publish_commit()?;
        self.release_pages = false;
        Ok(())
    }

    /// Opens the file again, or stops the store. Returns the error for the callers of the group.
    fn recover(&mut self, failure: StoreError) -> StoreError {
        let acknowledged = *self.latest.borrow();
        match self.recovery.recover(&self.handle, &failure, acknowledged) {
            Ok(Reopened { revision, full }) => {
                self.send_latest(revision);
                if let Err(error) = self.load_accounts() {
                    self.handle.stop(error.clone());
                    return error;
                }
                let Some(reason) = full else { return failure };
                self.space.exhaust(reason.clone());
                self.release_pages = true;
                // Only an unchanged revision proves that nothing was committed.
                if revision == acknowledged { StoreError::Full { reason } } else { failure }
            }
            Err(stopped) => stopped,
        }
    }

    /// Reads the usage of accounts and of the file again: it is not known which part of a failed
    /// group was committed.
    fn load_accounts(&self) -> Result<(), StoreError> {
        self.handle.read(|snapshot: &Snapshot| {
            self.space.set_reusable(snapshot.reusable()?);
            self.ledger.load(snapshot)
        })
    }

    fn send_latest(&self, revision: Revision) {
        self.latest.send_if_modified(|latest| std::mem::replace(latest, revision) != revision);
    }
}

/// The inner error concerns the job, the outer one the group.
type Performed<T> = Result<Result<T, StoreError>, StoreError>;

impl Writer {
    /// Stores the result in the job. An error fails the whole group.
    fn perform(&self, group: &mut Group<'_>, room: &Room, job: &mut Job) -> Result<(), StoreError> {
        match job {
            Job::Commit(ticket) => {
                ticket.result = Some(self.classify(transact(group, room, &ticket.work)?)?)
            }
            Job::RaiseCompacted(ticket) => {
                ticket.result =
                    Some(room.for_compaction().map(|()| group.raise_compacted(ticket.work)));
            }
            Job::CompactStep(ticket) => {
                ticket.result =
                    Some(self.classify(room.for_compaction().and_then(|()| group.compact_step()))?);
            }
            Job::Recover(report) if self.handle.generation() == Some(report.generation) => {
                return Err(report.cause.clone());
            }
            Job::Recover(_) => {}
        }
        Ok(())
    }

    /// Separates errors of the job from errors of the group, and reports both to the observer.
    fn classify<T>(&self, result: Result<T, StoreError>) -> Performed<T> {
        match result {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Closed)) => Err(error),
            Err(error) => {
                if let StoreError::Full { .. } = error {
                    self.handle.notify(Incident::Full);
                }
                Ok(Err(self.handle.on_error(0, error)))
            }
            Ok(value) => Ok(Ok(value)),
        }
    }
}

/// Applies a transaction. Once its changes have begun, an error fails the whole group.
fn transact(group: &mut Group<'_>, room: &Room, txn: &Txn) -> Performed<Outcome> {
    let checked = room.for_changes(&txn.changes).and_then(|()| group.check_guards(txn));
    match checked {
        Ok(GuardCheck::Holds(replaced)) => match group.check_account(txn, &replaced) {
            Ok(()) => group.apply(txn, replaced).map(Ok),
            Err(full) => Ok(Err(full)),
        },
        Ok(GuardCheck::Refused(current)) => Ok(Ok(Outcome::Refused(current))),
        Err(error) => Ok(Err(error)),
    }
}
