//! How many connections the system lets this process have.
//!
//! The limit that a process begins with is often 1024, for programs that could not deal with more; the one up to which
//! it may be raised is what the operator means. Every connection takes a file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit on open files as far as it may be.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(from = shown(current), to = shown(maximum), "the limit on open files was raised"),
        Err(error) => tracing::warn!(limit = shown(current), %error, "the limit on open files could not be raised"),
    }
}
