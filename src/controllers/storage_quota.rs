//! Gauges of the size of a store with a quota.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::interval;

use super::controller::Controller;
use crate::store::{Backend, StorageQuota};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::usage_metrics::QuotaGauges;

/// The interval at which the gauges are set. The store itself asks its backend every five seconds.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the gauges current.
pub(super) struct StorageQuotaController {
    pub(super) quota: Arc<dyn StorageQuota>,
    pub(super) backend: Backend,
    pub(super) metrics: Arc<Metrics>,
}

impl Controller for StorageQuotaController {
    fn name(&self) -> &'static str {
        "storage-quota"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut ticks = interval(INTERVAL);
            loop {
                ticks.tick().await;
                let Some(usage) = self.quota.usage() else { continue };
                self.metrics.usage().set_quota(QuotaGauges {
                    backend: self.backend.name(),
                    bytes: usage.size,
                    used_bytes: usage.used,
                    quota_bytes: usage.quota,
                });
            }
        })
    }
}
