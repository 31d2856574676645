//! Logs and metrics.

pub mod admission_metrics;
pub mod backup_metrics;
pub mod caught_panic;
pub mod connection_metrics;
pub mod controller_metrics;
pub mod flow_metrics;
pub mod history_metrics;
pub mod import_metrics;
pub mod log;
pub mod metrics;
mod on_change;
mod once_each;
mod optional_gauge;
mod process_metrics;
mod repeat_limit;
mod storage_incident;
mod text_format;
pub mod usage_metrics;

pub use caught_panic::CaughtPanic;
pub use on_change::OnChange;
pub use once_each::OnceEach;
pub use repeat_limit::{SLOW, SuppressedLines};
