//! Building blocks of asynchronous work, for any subject.

mod backoff;
mod single_flight;

pub use backoff::Backoff;
pub use single_flight::SingleFlight;
