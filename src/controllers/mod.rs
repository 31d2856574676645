//! Background work: each [`Controller`] keeps one subject current while the server runs.
//!
//! The [`Supervisor`] starts controllers, restarts them after failures, runs those of shared state
//! on one replica only, and stops them in order.

mod controller;
mod supervisor;

pub use controller::{Controller, Leadership};
pub use supervisor::Supervisor;
