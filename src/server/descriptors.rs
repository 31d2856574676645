//! How many connections the system lets this process have. Every one takes a file descriptor, so this is the limit on
//! their number; there is no flag beside it.
//!
//! The limit that a process begins with is often 1024, for programs that cannot deal with more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More is not asked for: an idle connection costs some 45 kB, and so many of them 1.5 GB.
const ENOUGH: u64 = 32 << 10;

/// Raises the limit on open files, as far as it may be and is sensible.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    let Some(before) = current.filter(|current| *current < wanted) else {
        return;
    };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => tracing::debug!(before, now = wanted, "the limit on open files was raised"),
        Err(error) => tracing::warn!(limit = before, %error, "the limit on open files could not be raised"),
    }
}
