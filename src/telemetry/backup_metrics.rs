//! Metrics of scheduled backups. The gauges appear once they are set.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::optional_gauge::OptionalGauge;

/// Metrics of scheduled backups.
#[derive(Debug, Default)]
pub struct BackupMetrics {
    last_success: OptionalGauge,
    size: OptionalGauge,
    failures: Counter,
}

impl BackupMetrics {
    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        let text = "Time of the latest scheduled backup, in seconds since 1970; 0 if there is none";
        registry.register(
            "imagestream_apiserver_backup_last_success_timestamp_seconds",
            text,
            self.last_success.clone(),
        );
        let text = "Size of the latest scheduled backup, in bytes";
        registry.register("imagestream_apiserver_backup_size_bytes", text, self.size.clone());
        let text = "Scheduled backups that failed";
        registry.register("imagestream_apiserver_backup_failures", text, self.failures.clone());
    }

    /// Sets the time, in seconds since 1970, and the size of the latest backup.
    pub fn set_latest(&self, taken: u64, bytes: u64) {
        self.last_success.set(taken);
        self.size.set(bytes);
    }

    /// Counts a failure.
    pub fn record_failure(&self) {
        self.failures.inc();
    }
}
