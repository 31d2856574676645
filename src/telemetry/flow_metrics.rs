//! Metrics of the limits that users share, as those of API Priority and Fairness in
//! k8s.io/apiserver/pkg/util/flowcontrol/metrics. Labels name priority levels, never users.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
    MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Limit that users share, the value of the label `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SharedLimit {
    /// Read requests in flight.
    Reads,
    /// Mutating requests in flight.
    Writes,
    /// Open watches.
    Watches,
    /// TokenReviews and SubjectAccessReviews in flight.
    Reviews,
    /// Memory of requests and responses, in bytes.
    Memory,
    /// Requests with large bodies or objects.
    LargeRequests,
}

/// Use of a limit by one priority level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelSample {
    /// Priority level.
    pub level: &'static str,
    /// Units in use.
    pub executing: u64,
    /// Number of waiting requests.
    pub waiting: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    priority_level: &'static str,
    limit: SharedLimit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemoryLabels {
    priority_level: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    priority_level: &'static str,
    limit: SharedLimit,
    reason: &'static str,
}

/// Metrics of shared limits.
pub struct FlowMetrics {
    rejections: Family<RejectionLabels, Counter>,
    waits: Family<LimitLabels, Histogram>,
    usage: UsageCollector,
}

/// Source of samples of one limit. They are taken when metrics are read, so that requests do not
/// pay for them.
type Sampler = Box<dyn Fn() -> Vec<LevelSample> + Send + Sync>;

#[derive(Clone, Default)]
struct UsageCollector(Arc<Mutex<Vec<(SharedLimit, Sampler)>>>);

/// Upper bounds of the buckets of waiting times, in seconds.
const WAIT_BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0];

impl SharedLimit {
    const ALL: [Self; 6] = [
        Self::Reads,
        Self::Writes,
        Self::Watches,
        Self::Reviews,
        Self::Memory,
        Self::LargeRequests,
    ];
}

impl EncodeLabelValue for SharedLimit {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Watches => "watches",
            Self::Reviews => "reviews",
            Self::Memory => "memory",
            Self::LargeRequests => "large_requests",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl FlowMetrics {
    /// Metrics with all values at zero.
    pub(super) fn new() -> Self {
        Self {
            rejections: Family::default(),
            waits: Family::new_with_constructor(|| Histogram::new(WAIT_BUCKETS)),
            usage: UsageCollector::default(),
        }
    }

    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_flowcontrol_rejected_requests",
            "Requests that exceeded a limit that users share",
            self.rejections.clone(),
        );
        registry.register(
            "apiserver_flowcontrol_request_wait_duration_seconds",
            "Waiting times of requests that had to wait for a limit, and got a place",
            self.waits.clone(),
        );
        registry.register_collector(Box::new(self.usage.clone()));
    }

    /// Adds a limit whose use is shown. `samples` is called when the metrics are read.
    pub fn observe(
        &self,
        limit: SharedLimit,
        samples: impl Fn() -> Vec<LevelSample> + Send + Sync + 'static,
    ) {
        self.usage.0.lock().push((limit, Box::new(samples)));
    }

    /// Records a request that exceeded a limit.
    pub fn record_rejection(
        &self,
        limit: SharedLimit,
        priority_level: &'static str,
        reason: &'static str,
    ) {
        self.rejections.get_or_create(&RejectionLabels { priority_level, limit, reason }).inc();
    }

    /// Records the time that a request waited for a limit before it got a place.
    pub fn record_wait(&self, limit: SharedLimit, priority_level: &'static str, waited: Duration) {
        let labels = LimitLabels { priority_level, limit };
        self.waits.get_or_create(&labels).observe(waited.as_secs_f64());
    }
}

impl UsageCollector {
    /// Samples of all limits, added up for limits that consist of several.
    fn samples(&self) -> Vec<(LimitLabels, LevelSample)> {
        let mut all: Vec<(LimitLabels, LevelSample)> = Vec::new();
        let limits = self.0.lock();
        for limit in SharedLimit::ALL {
            let of_limit = limits.iter().filter(|(each, _)| *each == limit);
            for sample in of_limit.flat_map(|(_, samples)| samples()) {
                let labels = LimitLabels { priority_level: sample.level, limit };
                match all.iter_mut().find(|(each, _)| *each == labels) {
                    Some((_, sum)) => {
                        sum.executing = sum.executing.saturating_add(sample.executing);
                        sum.waiting = sum.waiting.saturating_add(sample.waiting);
                    }
                    None => all.push((labels, sample)),
                }
            }
        }
        all
    }
}

impl Collector for UsageCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let samples = self.samples();
        let name = "apiserver_flowcontrol_current_executing_requests";
        let text = "Requests that hold a place within a limit that users share";
        let mut metric = encoder.encode_descriptor(name, text, None, MetricType::Gauge)?;
        let is_memory = |of: &LimitLabels| of.limit == SharedLimit::Memory;
        for (labels, sample) in samples.iter().filter(|(of, _)| !is_memory(of)) {
            encode_gauge(sample.executing, metric.encode_family(labels)?)?;
        }
        // Memory is counted in bytes, not in requests.
        let name = "imagestream_apiserver_memory_budget_used_bytes";
        let text = "Memory of the budget that requests use, in bytes";
        let mut metric = encoder.encode_descriptor(name, text, None, MetricType::Gauge)?;
        for (LimitLabels { priority_level, .. }, sample) in
            samples.iter().filter(|(of, _)| is_memory(of))
        {
            let labels = MemoryLabels { priority_level };
            encode_gauge(sample.executing, metric.encode_family(&labels)?)?;
        }
        let name = "apiserver_flowcontrol_current_inqueue_requests";
        let text = "Requests that wait for a limit that users share";
        let mut metric = encoder.encode_descriptor(name, text, None, MetricType::Gauge)?;
        for (labels, sample) in &samples {
            encode_gauge(sample.waiting, metric.encode_family(labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for UsageCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageCollector").finish_non_exhaustive()
    }
}

fn encode_gauge(value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn text(metrics: &FlowMetrics) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn use_of_limits_with_one_name_adds_up() {
        let metrics = FlowMetrics::new();
        for _ in 0..2 {
            metrics.observe(SharedLimit::Reviews, || {
                vec![LevelSample { level: "users", executing: 3, waiting: 2 }]
            });
        }
        metrics.observe(SharedLimit::Memory, || {
            vec![LevelSample { level: "users", executing: 7, waiting: 1 }]
        });
        let text = text(&metrics);
        let users = |metric: &str, limit: &str| {
            let name = format!(
                "apiserver_flowcontrol_{metric}{{priority_level=\"users\",limit=\"{limit}\"}} "
            );
            text.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
        };
        assert_eq!(users("current_executing_requests", "reviews").as_deref(), Some("6"), "{text}");
        assert_eq!(users("current_inqueue_requests", "reviews").as_deref(), Some("4"));
        assert_eq!(users("current_inqueue_requests", "memory").as_deref(), Some("1"));
        assert_eq!(users("current_executing_requests", "memory"), None);
    }

    #[test]
    fn refusals_are_counted_by_level_limit_and_reason() {
        let metrics = FlowMetrics::new();
        metrics.record_rejection(SharedLimit::LargeRequests, "users", "queue-full");
        let name = "apiserver_flowcontrol_rejected_requests_total";
        let labels = "priority_level=\"users\",limit=\"large_requests\",reason=\"queue-full\"";
        let text = text(&metrics);
        assert!(text.contains(&format!("{name}{{{labels}}} 1")), "{text}");
    }
}
