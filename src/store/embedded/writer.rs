//! The one thread that writes: takes the jobs that wait, makes them in one write transaction, commits once, tells the
//! watchers, then answers everybody. What a transaction or a compaction step does stands in [`super::group`] and
//! [`super::trim`].
//!
//! A failure of the group is a failure of the file: redb refuses everything after an I/O error, and after a panic nothing
//! is certain. So nobody in the group is acknowledged, and [`super::recover`] opens the file again, or the thread ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::store::{Change, Outcome, Revision, StoreError, Txn};

use super::group::{Effect, Group, Verdict};
use super::incident::Incident;
use super::recover::Recovery;
use super::shared::{Shared, fault, panicked};
use super::space::{Room, Space};
use super::trim::Trimmed;

/// How many jobs may wait; beyond that, callers wait before they queue.
pub(super) const QUEUE: usize = 1024;
/// How many jobs share one commit.
const GROUP_JOBS: usize = 256;
/// How many bytes of values share one commit, but for the last job.
const GROUP_BYTES: usize = 4 << 20;

/// Something to do in order with everything else that changes the file.
pub(super) enum Job {
    /// A transaction.
    Commit(Ticket<Txn, Outcome>),
    /// Raise the compaction point to a revision.
    Raise(Ticket<Revision, ()>),
    /// Take one step towards the compaction point.
    Trim(Ticket<(), Trimmed>),
    /// Open the file again.
    Recover(Suspicion),
}

/// What a reader met that makes the file useless.
pub(super) struct Suspicion {
    /// The generation that it read from.
    pub(super) generation: u64,
    /// The error.
    pub(super) cause: StoreError,
}

/// A job with the caller that waits for it. Dropped without an answer when the store fails.
pub(super) struct Ticket<W, T> {
    work: W,
    answer: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Ticket<W, T> {
    /// The ticket, and where its answer will arrive.
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work, answer: None, caller }, answer)
    }

    fn settle(self) {
        if let Some(answer) = self.answer {
            // A caller that went away has no use for the answer.
            let _ = self.caller.send(answer);
        }
    }

    fn refuse(self, error: StoreError) {
        let _ = self.caller.send(Err(error));
    }
}

impl Job {
    fn bytes(&self) -> usize {
        let Self::Commit(ticket) = self else { return 0 };
        let size = |change: &Change| if let Change::Put(_, value) = change { value.len() } else { 0 };
        ticket.work.changes.iter().map(size).sum()
    }

    fn settle(self) {
        match self {
            Self::Commit(ticket) => ticket.settle(),
            Self::Raise(ticket) => ticket.settle(),
            Self::Trim(ticket) => ticket.settle(),
            Self::Recover(_) => {}
        }
    }

    /// Answers this error, whatever has been reached.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Commit(ticket) => ticket.refuse(error),
            Self::Raise(ticket) => ticket.refuse(error),
            Self::Trim(ticket) => ticket.refuse(error),
            Self::Recover(_) => {}
        }
    }
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) space: Arc<Space>,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// The latest revision, told after it is durable and before it is acknowledged.
    pub(super) latest: watch::Sender<Revision>,
    pub(super) recovery: Recovery,
    /// Whether freed space has to be brought in before values are written.
    pub(super) sweeps: bool,
}

impl Writer {
    /// Works until all handles are gone or the store fails for good.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut group = self.gather(first);
            let written = catch_unwind(AssertUnwindSafe(|| self.write(&mut group)));
            match written.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(()) => group.into_iter().for_each(Job::settle),
                Err(failure) => {
                    let answer = self.recover(failure);
                    group.into_iter().for_each(|job| job.refuse(answer.clone()));
                    if self.shared.generation().is_none() {
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
        if self.sweeps && matches!(room, Room::Plenty) {
            self.sweep()?;
        }
        let txn = self.shared.begin_write()?;
        let mut group = Group::open(&txn)?;
        for job in jobs {
            self.perform(&mut group, &room, job)?;
        }
        let revision = group.revision();
        match group.finish()? {
            Effect::Nothing => txn.abort().map_err(fault)?,
            Effect::Changed => {
                txn.commit().map_err(fault)?;
                self.shared.renew()?;
            }
        }
        self.latest.send_if_modified(|latest| std::mem::replace(latest, revision) != revision);
        Ok(())
    }
}

impl Writer {
    /// Commits nothing: redb gives out what one commit has freed only after another one, so a file that is full to the
    /// last page would stay so although everything in it was deleted.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let txn = self.shared.begin_write()?;
        let mut group = Group::open(&txn)?;
        group.effect = Effect::Changed;
        group.finish()?;
        txn.commit().map_err(fault)?;
        self.shared.renew()?;
        self.sweeps = false;
        Ok(())
    }
}

/// The inner error concerns the job, the outer one the group.
type Done<T> = Result<Result<T, StoreError>, StoreError>;

impl Writer {
    /// Leaves the answer in the job. An error here is one of the whole group.
    fn perform(&self, group: &mut Group<'_>, room: &Room, job: &mut Job) -> Result<(), StoreError> {
        match job {
            Job::Commit(ticket) => ticket.answer = Some(self.examine(transact(group, room, &ticket.work)?)?),
            Job::Raise(ticket) => ticket.answer = Some(room.for_upkeep().map(|()| group.raise(ticket.work))),
            Job::Trim(ticket) => {
                ticket.answer = Some(self.examine(room.for_upkeep().and_then(|()| group.trim()))?);
            }
            Job::Recover(suspicion) if self.shared.generation() == Some(suspicion.generation) => {
                return Err(suspicion.cause.clone());
            }
            Job::Recover(_) => {}
        }
        Ok(())
    }

    /// Tells errors of the job from those that the group does not survive, and the observer of both.
    fn examine<T>(&self, answer: Result<T, StoreError>) -> Done<T> {
        match answer {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Closed)) => Err(error),
            Err(error) => {
                if let StoreError::Full { .. } = error {
                    self.shared.notice(Incident::Full);
                }
                Ok(Err(self.shared.examine(0, error)))
            }
            Ok(answer) => Ok(Ok(answer)),
        }
    }
}

/// A failure to change what may be changed is one of the whole group.
fn transact(group: &mut Group<'_>, room: &Room, txn: &Txn) -> Done<Outcome> {
    let judged = room.for_changes(&txn.changes).and_then(|()| group.judge(txn));
    match judged {
        Ok(Verdict::Holds(present)) => group.apply(txn, present).map(Ok),
        Ok(Verdict::Refused(current)) => Ok(Ok(Outcome::Refused(current))),
        Err(error) => Ok(Err(error)),
    }
}
