//! What whoever runs the store should learn beside the answers of its calls.

use std::fmt;
use std::sync::Arc;

/// Something that happened to the store and should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Incident {
    /// Something that was read is not what was written.
    Damaged,
    /// Something was not written for want of space.
    Full,
    /// The file failed and is about to be opened again.
    Failed,
}

/// Called with every incident, on the thread that meets it: it must be quick.
#[derive(Clone)]
pub struct Observer(pub Arc<dyn Fn(Incident) + Send + Sync>);

impl Default for Observer {
    /// Nobody looks.
    fn default() -> Self {
        Self(Arc::new(|_| ()))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").finish_non_exhaustive()
    }
}
