//! Building blocks for asynchronous work.

mod backoff;
mod reloadable;
mod single_flight;

pub use backoff::Backoff;
pub use reloadable::{Reload, Reloadable};
pub use single_flight::SingleFlight;
