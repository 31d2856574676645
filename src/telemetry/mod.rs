//! Logs and metrics.

pub mod backup_metrics;
pub mod connection_metrics;
pub mod flow_metrics;
pub mod history_metrics;
pub mod import_metrics;
pub mod log;
pub mod metrics;
mod on_change;
mod once_each;
mod optional_gauge;
mod process_metrics;
mod storage_incident;
mod text_format;
pub mod usage_metrics;

pub use on_change::OnChange;
pub use once_each::OnceEach;
