//! Metrics of imports from registries.
//!
//! Clients choose the registries, so only the first names are labels. The others share a series.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Maximum number of registries with series of their own.
const MAX_REGISTRIES: usize = 64;
/// Label of all other registries.
const OTHER: &str = "other";

/// Upper bounds of the duration buckets, in seconds.
const DURATION_BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// Result of a try to import or to check the image of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImportOutcome {
    /// A new image was imported.
    Imported,
    /// The image has not changed.
    Unchanged,
    /// The registry does not have the image.
    NotFound,
    /// The registry refuses the credentials, or requires some.
    Unauthorized,
    /// The registry, or the configuration of this server, refuses access.
    Forbidden,
    /// The registry limits requests.
    RateLimited,
    /// No connection, a time limit, or an error of the registry.
    Unavailable,
    /// The content cannot be imported, or the result cannot be stored.
    Invalid,
}

/// Response to a request, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseClass {
    /// Status of this number.
    Status(u16),
    /// No response.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    registry: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabels {
    registry: String,
    code: &'static str,
}

/// Metrics of imports. Clones share their values.
#[derive(Clone)]
pub struct ImportMetrics {
    tries: Family<OutcomeLabels, Counter>,
    duration: Histogram,
    requests: Family<RegistryLabels, Counter>,
    queue: Gauge,
    oldest_due: Gauge<f64, AtomicU64>,
    failing: Gauge,
    names: Arc<Mutex<HashSet<String>>>,
}

/// State of the queue of a controller. The gauges are zero again after the drop, because another
/// replica has the queue then.
pub struct ImportBacklog(ImportMetrics);

impl ImportOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Unchanged => "unchanged",
            Self::NotFound => "not-found",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
        }
    }
}

impl ResponseClass {
    fn name(self) -> &'static str {
        match self {
            Self::None => "<error>",
            Self::Status(401) => "401",
            Self::Status(403) => "403",
            Self::Status(404) => "404",
            Self::Status(429) => "429",
            Self::Status(200..300) => "2xx",
            Self::Status(300..400) => "3xx",
            Self::Status(400..500) => "4xx",
            Self::Status(_) => "5xx",
        }
    }
}

impl Default for ImportMetrics {
    fn default() -> Self {
        Self {
            tries: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            requests: Family::default(),
            queue: Gauge::default(),
            oldest_due: Gauge::default(),
            failing: Gauge::default(),
            names: Arc::default(),
        }
    }
}

impl ImportMetrics {
    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        let text = "Tries of the import controller, by registry and result";
        registry.register("imagestream_apiserver_import_tries", text, self.tries.clone());
        let text = "Time from the start of a try of the import controller to its result";
        let name = "imagestream_apiserver_import_duration_seconds";
        registry.register(name, text, self.duration.clone());
        let text = "Requests to registries and token servers, by host and response";
        registry.register("imagestream_apiserver_registry_requests", text, self.requests.clone());
        let text = "Tags that wait for a try of the import controller";
        registry.register("imagestream_apiserver_import_queue_length", text, self.queue.clone());
        let text = "Time since the oldest waiting try of the import controller was due";
        let name = "imagestream_apiserver_import_oldest_due_seconds";
        registry.register(name, text, self.oldest_due.clone());
        let text = "Tags whose import has failed for over an hour";
        registry.register("imagestream_apiserver_import_failing_tags", text, self.failing.clone());
    }

    /// Records a try of the import controller.
    pub fn record_try(&self, registry: &str, outcome: ImportOutcome, took: Duration) {
        let registry = self.label(registry);
        self.tries.get_or_create(&OutcomeLabels { registry, result: outcome.name() }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Records a request to a registry or token server.
    pub fn record_request(&self, registry: &str, response: ResponseClass) {
        let registry = self.label(registry);
        self.requests.get_or_create(&RegistryLabels { registry, code: response.name() }).inc();
    }

    /// The gauges of the import queue, for the replica that runs the controller.
    pub fn backlog(&self) -> ImportBacklog {
        ImportBacklog(self.clone())
    }

    fn label(&self, registry: &str) -> String {
        let mut names = self.names.lock();
        let is_known = names.contains(registry)
            || names.len() < MAX_REGISTRIES && names.insert(registry.to_owned());
        if is_known { registry } else { OTHER }.to_owned()
    }
}

impl ImportBacklog {
    /// Sets the number of waiting tries, and the time since the oldest was due.
    pub fn set_queue(&self, length: usize, oldest_due: Duration) {
        self.0.queue.set(whole(length));
        self.0.oldest_due.set(oldest_due.as_secs_f64());
    }

    /// Sets the number of tags whose import has failed for over an hour.
    pub fn set_failing_tags(&self, count: usize) {
        self.0.failing.set(whole(count));
    }
}

impl Drop for ImportBacklog {
    fn drop(&mut self) {
        self.set_queue(0, Duration::ZERO);
        self.set_failing_tags(0);
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    struct Lab {
        metrics: ImportMetrics,
        registry: Registry,
    }

    impl Lab {
        fn new() -> Self {
            let (metrics, mut registry) = (ImportMetrics::default(), Registry::default());
            metrics.register(&mut registry);
            Self { metrics, registry }
        }

        fn has(&self, line: &str) -> bool {
            self.text().lines().any(|each| each == format!("imagestream_apiserver_{line}"))
        }

        fn text(&self) -> String {
            let mut text = String::new();
            encode(&mut text, &self.registry).unwrap();
            text
        }
    }

    #[test]
    fn names_of_registries_are_bounded() {
        let lab = Lab::new();
        for at in 0..MAX_REGISTRIES + 5 {
            lab.metrics.record_request(&format!("r{at}.io"), ResponseClass::Status(200));
        }
        lab.metrics.record_request("r0.io", ResponseClass::Status(429));
        lab.metrics.record_request("late.io", ResponseClass::None);
        let name = "registry_requests_total";
        assert!(lab.has(&format!("{name}{{registry=\"other\",code=\"2xx\"}} 5")), "{}", lab.text());
        assert!(lab.has(&format!("{name}{{registry=\"r0.io\",code=\"429\"}} 1")));
        assert!(lab.has(&format!("{name}{{registry=\"other\",code=\"<error>\"}} 1")));
    }

    #[test]
    fn tries_are_counted_and_backlog_ends_at_zero() {
        let lab = Lab::new();
        let took = Duration::from_millis(700);
        lab.metrics.record_try("r.io", ImportOutcome::NotFound, took);
        assert!(lab.has("import_tries_total{registry=\"r.io\",result=\"not-found\"} 1"));
        assert!(lab.has("import_duration_seconds_bucket{le=\"0.5\"} 0"));
        assert!(lab.has("import_duration_seconds_bucket{le=\"1.0\"} 1"));
        let backlog = lab.metrics.backlog();
        backlog.set_queue(7, Duration::from_secs(90));
        backlog.set_failing_tags(2);
        assert!(lab.has("import_queue_length 7") && lab.has("import_oldest_due_seconds 90.0"));
        assert!(lab.has("import_failing_tags 2"));
        drop(backlog);
        assert!(lab.has("import_queue_length 0") && lab.has("import_oldest_due_seconds 0.0"));
        assert!(lab.has("import_failing_tags 0"));
    }
}
