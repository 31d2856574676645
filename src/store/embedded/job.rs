//! Jobs of the writer: the queue carries everything that changes the file, in order.

use tokio::sync::oneshot;

use crate::store::{Change, Outcome, Revision, StoreError, Txn};

use super::compact::CompactProgress;

/// The capacity of the queue. Beyond it, callers wait before they enqueue.
pub(super) const QUEUE: usize = 1024;

/// A job of the writer.
pub(super) enum Job {
    /// Commits a transaction.
    Commit(Ticket<Txn, Outcome>),
    /// Raises the compaction point to a revision.
    RaiseCompacted(Ticket<Revision, ()>),
    /// Takes one step of compaction.
    CompactStep(Ticket<(), CompactProgress>),
    /// Opens the file again.
    Recover(Failure),
}

/// A reader's report of a failed file.
pub(super) struct Failure {
    /// The generation that was read from.
    pub(super) generation: u64,
    /// The error.
    pub(super) cause: StoreError,
}

/// A request with the channel to its caller. The caller sees a closed channel when the ticket is
/// dropped without a result.
pub(super) struct Ticket<W, T> {
    pub(super) work: W,
    /// The result, sent once the group is durable.
    pub(super) result: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Ticket<W, T> {
    /// The ticket and the receiver of its result.
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (caller, result) = oneshot::channel();
        (Self { work, result: None, caller }, result)
    }

    fn finish(self) {
        if let Some(result) = self.result {
            // The caller may have gone away.
            let _ = self.caller.send(result);
        }
    }

    fn fail(self, error: StoreError) {
        let _ = self.caller.send(Err(error));
    }
}

impl Job {
    /// Bytes of the values that the job writes.
    pub(super) fn bytes(&self) -> usize {
        let Self::Commit(ticket) = self else { return 0 };
        let size =
            |change: &Change| if let Change::Put(_, value) = change { value.len() } else { 0 };
        ticket.work.changes.iter().map(size).sum()
    }

    /// Sends the result to the caller.
    pub(super) fn finish(self) {
        match self {
            Self::Commit(ticket) => ticket.finish(),
            Self::RaiseCompacted(ticket) => ticket.finish(),
            Self::CompactStep(ticket) => ticket.finish(),
            Self::Recover(_) => {}
        }
    }

    /// Sends an error to the caller, even if the job has a result.
    pub(super) fn fail(self, error: StoreError) {
        match self {
            Self::Commit(ticket) => ticket.fail(error),
            Self::RaiseCompacted(ticket) => ticket.fail(error),
            Self::CompactStep(ticket) => ticket.fail(error),
            Self::Recover(_) => {}
        }
    }
}
