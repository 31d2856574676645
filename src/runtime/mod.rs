//! Building blocks of asynchronous work, for any subject.

mod backoff;
mod reloadable;
mod single_flight;

pub use backoff::Backoff;
pub use reloadable::{Reload, Reloadable};
pub use single_flight::SingleFlight;
