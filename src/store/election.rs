//! The election of one of the replicas that share a store.

use std::future::{self, Future};

use futures_util::future::BoxFuture;

/// Elects one of the replicas that share a store, for work that only one of them may do.
///
/// A backend that several replicas share grants terms by leases, as `LeaderElector` in
/// k8s.io/client-go/tools/leaderelection/leaderelection.go does.
pub trait Elector: Send + Sync + 'static {
    /// Waits until this replica is elected for `work`, a name that is the same in all replicas.
    fn elect(&self, work: &'static str) -> BoxFuture<'_, Term>;
}

/// The time for which a replica is elected. Dropping it resigns.
pub struct Term {
    end: BoxFuture<'static, ()>,
}

impl Term {
    /// A term that lasts until `end` resolves.
    pub fn until(end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { end: Box::pin(end) }
    }

    /// A term without an end.
    pub fn unlimited() -> Self {
        Self::until(future::pending())
    }

    /// Waits for the end of the term.
    pub async fn ended(&mut self) {
        self.end.as_mut().await;
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
