//! The limit on file descriptors, which bounds the number of connections.
//!
//! The initial soft limit is often 1024, for programs that use `select`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum limit to set. An idle connection costs about 45 kB, so this many cost 1.5 GB.
const MAX_DESCRIPTORS: u64 = 32 << 10;

/// Raises the soft limit to the hard limit, at most to [`MAX_DESCRIPTORS`].
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let desired = maximum.map_or(MAX_DESCRIPTORS, |maximum| maximum.min(MAX_DESCRIPTORS));
    let Some(before) = current.filter(|current| *current < desired) else {
        return;
    };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(desired), maximum }) {
        Ok(()) => tracing::debug!(before, now = desired, "raised the limit on open files"),
        Err(error) => {
            tracing::warn!(limit = before, %error, "cannot raise the limit on open files")
        }
    }
}
