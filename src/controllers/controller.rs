//! The interface of controllers.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::store::{Elector, TermGuard};

/// Background work on one subject. The [`Supervisor`](super::Supervisor) runs it.
pub trait Controller: Send + 'static {
    /// The name in logs and metrics, and of the election: lower-case words joined by dashes.
    fn name(&self) -> &'static str;

    /// The replicas that run the controller.
    fn leadership(&self) -> Leadership {
        Leadership::EveryReplica
    }

    /// Takes over the condition that the term of the next run lasts. An elected controller puts it
    /// into every write of the run.
    fn begin_term(&mut self, guard: Option<TermGuard>) {
        let _ = guard;
    }

    /// Works until it is dropped. If it returns or panics, it is called again after a delay.
    ///
    /// Failures that a later attempt can repair are handled and logged here.
    fn run(&mut self) -> BoxFuture<'_, ()>;
}

/// The replicas that run a controller.
#[derive(Clone)]
pub enum Leadership {
    /// Each replica, for work on its own state, such as its certificate.
    EveryReplica,
    /// The elected replica, for work on shared state.
    Elected(Arc<dyn Elector>),
}
