//! Incidents of a store, for metrics and alerts.

use std::fmt;
use std::sync::Arc;

/// An incident of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Incident {
    /// A read met damaged data.
    Damaged,
    /// A write failed on a full disk.
    Full,
    /// The data file failed and will be opened again.
    Failed,
}

/// A callback for every incident, on the thread that meets it. Must return quickly.
#[derive(Clone)]
pub struct Observer(pub Arc<dyn Fn(Incident) + Send + Sync>);

impl Default for Observer {
    /// Ignores every incident.
    fn default() -> Self {
        Self(Arc::new(|_| ()))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").finish_non_exhaustive()
    }
}
