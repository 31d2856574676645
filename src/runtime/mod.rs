//! Building blocks of asynchronous work, for any subject.

mod backoff;

pub use backoff::Backoff;
