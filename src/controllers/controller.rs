//! The interface of controllers.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::store::Elector;

/// Background work on one subject. The [`Supervisor`](super::Supervisor) runs it.
pub trait Controller: Send + 'static {
    /// The name in logs and metrics, and of the election: lower-case words joined by dashes.
    fn name(&self) -> &'static str;

    /// The replicas that run the controller.
    fn leadership(&self) -> Leadership {
        Leadership::EveryReplica
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
