//! The election of one of the replicas that share a store.

use std::future::{self, Future};

use futures_util::future::BoxFuture;

use super::Revision;

/// Elects one of the replicas that share a store, for work that only one of them may do.
///
/// A backend that several replicas share grants terms by leases, as `LeaderElector` in
/// k8s.io/client-go/tools/leaderelection/leaderelection.go does.
pub trait Elector: Send + Sync + 'static {
    /// Waits until this replica is elected for `work`, a name that is the same in all replicas.
    fn elect(&self, work: &'static str) -> BoxFuture<'_, Term>;
}

/// The time for which a replica is elected. Dropping it resigns in the background.
pub struct Term {
    end: BoxFuture<'static, ()>,
    resignation: BoxFuture<'static, ()>,
    guard: Option<TermGuard>,
}

/// The condition of a transaction that a term lasts, see [`Txn::term`](super::Txn::term).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermGuard {
    /// The work of the term.
    pub(super) work: &'static str,
    /// The revision at which the term began.
    pub(super) begin: Revision,
}

impl Term {
    /// A term that lasts until `end` resolves.
    pub fn until(end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { end: Box::pin(end), resignation: Box::pin(future::ready(())), guard: None }
    }

    /// The same term, with the work that lets another replica be elected.
    pub fn with_resignation(self, resignation: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { resignation: Box::pin(resignation), ..self }
    }

    /// The same term, with the condition that it lasts.
    pub fn with_guard(self, guard: TermGuard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// A term without an end.
    pub fn unlimited() -> Self {
        Self::until(future::pending())
    }

    /// The condition that every write of the work must carry, because the process may learn late
    /// that the term is over; none if the term has no end.
    pub fn guard(&self) -> Option<TermGuard> {
        self.guard.clone()
    }

    /// Waits for the end of the term.
    pub async fn ended(&mut self) {
        self.end.as_mut().await;
    }

    /// Ends the term. Returns when another replica can be elected, or when that cannot be arranged
    /// soon.
    pub async fn resign(self) {
        let Self { end, resignation, .. } = self;
        drop(end);
        resignation.await;
    }
}

/// The elector of a store that one process at a time can open: that process is always elected.
#[derive(Clone, Copy, Debug)]
pub struct SoleReplica;

impl Elector for SoleReplica {
    fn elect(&self, _: &'static str) -> BoxFuture<'_, Term> {
        Box::pin(future::ready(Term::unlimited()))
    }
}
