//! Logs and metrics. Uses no other floor.

pub mod log;
pub mod metrics;
pub mod usage;
