//! Gauges that are absent until they are set.

use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::Gauge;

/// A gauge that is absent until it is set.
#[derive(Clone, Debug, Default)]
pub(super) struct OptionalGauge(Arc<OnceLock<Gauge>>);

impl OptionalGauge {
    /// Sets the value.
    pub(super) fn set(&self, value: u64) {
        self.0.get_or_init(Gauge::default).set(whole(value));
    }
}

impl EncodeMetric for OptionalGauge {
    fn encode(&self, encoder: MetricEncoder<'_>) -> std::fmt::Result {
        self.0.get().map_or(Ok(()), |gauge| gauge.encode(encoder))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// The value of a gauge.
pub(super) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
