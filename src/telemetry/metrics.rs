//! Metrics with the names of kube-apiserver. Labels come from closed sets.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    EncodeLabel, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::admission_metrics::AdmissionMetrics;
use super::connection_metrics::ConnectionMetrics;
use super::controller_metrics::ControllerMetrics;
use super::flow_metrics::FlowMetrics;
use super::history_metrics::HistoryMetrics;
use super::import_metrics::ImportMetrics;
use super::usage_metrics::UsageMetrics;
use super::{process_metrics, text_format};

pub use super::storage_incident::StorageIncident;

/// Labels of a request; empty for paths that are not resources.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct RequestLabels {
    /// Verb in capitals, such as `GET` or `LIST`.
    pub verb: &'static str,
    /// API group.
    pub group: &'static str,
    /// Version of the group.
    pub version: &'static str,
    /// Resource, in the plural.
    pub resource: &'static str,
    /// Subresource; empty for the object itself.
    pub subresource: &'static str,
    /// `resource`, `namespace` or `cluster`.
    pub scope: &'static str,
}

impl RequestLabels {
    fn texts(&self) -> [&'static str; 6] {
        let Self { verb, group, version, resource, subresource, scope } = *self;
        [verb, group, version, resource, subresource, scope]
    }
}

// Hashes the lengths of the labels only: equal labels have equal lengths, and few series have
// labels of the same lengths. Every request looks up its series, and a hash of six strings takes
// ten times as long.
impl Hash for RequestLabels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mix = |hash: u64, label: &str| (hash << 10) | label.len() as u64;
        state.write_u64(self.texts().into_iter().fold(0, mix));
    }
}

// Equal labels are mostly the same constants, so their addresses are compared first.
impl PartialEq for RequestLabels {
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = self.texts().into_iter().zip(other.texts());
        pairs.all(|(one, other)| std::ptr::eq(one, other) || one == other)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ResponseLabels {
    code: u16,
    request: RequestLabels,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        let Self { verb, group, version, resource, subresource, scope } = *self;
        let labels = [
            ("verb", verb),
            ("group", group),
            ("version", version),
            ("resource", resource),
            ("subresource", subresource),
            ("scope", scope),
            ("component", "apiserver"),
        ];
        labels.encode(encoder)
    }
}

impl EncodeLabelSet for ResponseLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        ("code", self.code).encode(encoder.encode_label())?;
        self.request.encode(encoder)
    }
}

/// Kind of a request: `readOnly` or `mutating`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestKindLabels {
    request_kind: &'static str,
}

/// Watched resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    resource: &'static str,
}

/// Certificate that the server depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// Serving certificate.
    Serving,
    /// CA of the server, which signs the serving certificate.
    ServingCa,
    /// CA of user certificates that expires first.
    ClientCa,
    /// CA of front proxies that expires first.
    FrontProxyCa,
}

impl EncodeLabelValue for Certificate {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Serving => "serving",
            Self::ServingCa => "serving-ca",
            Self::ClientCa => "client-ca",
            Self::FrontProxyCa => "front-proxy-ca",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: Certificate,
}

/// Decision that is delegated to the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delegated {
    /// TokenReview.
    Authentication,
    /// SubjectAccessReview.
    Authorization,
}

/// HTTP status of a response of the control plane; `<error>` without a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: String,
}

/// Audit backend that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditPluginLabels {
    plugin: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IncidentLabels {
    incident: StorageIncident,
}

/// Metrics of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<ResponseLabels, Counter>,
    durations: Family<RequestLabels, Histogram>,
    in_flight: Family<RequestKindLabels, Gauge>,
    terminated: Family<ResponseLabels, Counter>,
    panics: Counter,
    authentications: Family<CodeLabels, Counter>,
    authorizations: Family<CodeLabels, Counter>,
    rejected_proxies: Counter,
    audit_events: Counter,
    audit_errors: Family<AuditPluginLabels, Counter>,
    certificate_expiry: Family<CertificateLabels, Gauge>,
    storage_incidents: Family<IncidentLabels, Counter>,
    long_running: Family<RequestLabels, Gauge>,
    watch_events: Family<WatchLabels, Counter>,
    controllers: ControllerMetrics,
    connections: ConnectionMetrics,
    flows: FlowMetrics,
    usage: UsageMetrics,
    history: HistoryMetrics,
    imports: ImportMetrics,
    admission: AdmissionMetrics,
}

/// Upper bounds of the duration buckets, in seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

impl Metrics {
    /// Metrics with all values at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            in_flight: Family::default(),
            terminated: Family::default(),
            panics: Counter::default(),
            authentications: Family::default(),
            authorizations: Family::default(),
            rejected_proxies: Counter::default(),
            audit_events: Counter::default(),
            audit_errors: Family::default(),
            certificate_expiry: Family::default(),
            storage_incidents: Family::default(),
            long_running: Family::default(),
            watch_events: Family::default(),
            controllers: ControllerMetrics::default(),
            connections: ConnectionMetrics::default(),
            flows: FlowMetrics::new(),
            usage: UsageMetrics::default(),
            history: HistoryMetrics::default(),
            imports: ImportMetrics::default(),
            admission: AdmissionMetrics::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("apiserver_request", "Responses to requests", metrics.requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time from a request to its response",
            metrics.durations.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests in flight",
            metrics.in_flight.clone(),
        );
        let text = "Watch events sent to clients";
        registry.register("apiserver_watch_events", text, metrics.watch_events.clone());
        let text = "Requests that the server rejected or ended early to protect itself";
        registry.register("apiserver_request_terminations", text, metrics.terminated.clone());
        registry.register(
            "apiserver_request_panics",
            "Requests that ended in a panic",
            metrics.panics.clone(),
        );
        let text = "TokenReviews sent to the control plane";
        registry.register(
            "apiserver_delegated_authn_request",
            text,
            metrics.authentications.clone(),
        );
        let text = "SubjectAccessReviews sent to the control plane";
        registry.register(
            "apiserver_delegated_authz_request",
            text,
            metrics.authorizations.clone(),
        );
        let text =
            "Requests with user headers whose client certificate is not that of a front proxy";
        registry.register(
            "imagestream_apiserver_front_proxy_refused",
            text,
            metrics.rejected_proxies.clone(),
        );
        registry.register("apiserver_audit_event", "Audit events", metrics.audit_events.clone());
        registry.register(
            "apiserver_audit_error",
            "Lost audit events",
            metrics.audit_errors.clone(),
        );
        let text = "Expiry of a certificate that the server depends on, in seconds since 1970";
        let name = "imagestream_apiserver_certificate_expiration_timestamp_seconds";
        registry.register(name, text, metrics.certificate_expiry.clone());
        for incident in StorageIncident::ALL {
            // An alert on an increase needs the series at zero.
            drop(metrics.storage_incidents.get_or_create(&IncidentLabels { incident }));
        }
        let text = "Damaged reads, writes without space, and failures of the storage";
        registry.register(
            "imagestream_apiserver_storage_incidents",
            text,
            metrics.storage_incidents.clone(),
        );
        let text = "Long-running requests in flight, such as watches";
        registry.register("apiserver_longrunning_requests", text, metrics.long_running.clone());
        metrics.controllers.register(registry);
        metrics.connections.register(registry);
        metrics.flows.register(registry);
        metrics.usage.register(registry);
        metrics.history.register(registry);
        metrics.imports.register(registry);
        metrics.admission.register(registry);
        process_metrics::register(registry);
        metrics
    }

    /// Records the response to a request.
    pub fn record_response(&self, request: &RequestLabels, code: u16, took: Duration) {
        self.requests.get_or_create(&ResponseLabels { code, request: *request }).inc();
        self.durations.get_or_create(request).observe(took.as_secs_f64());
    }

    /// Records a request that was rejected or ended because of overload.
    pub fn record_termination(&self, request: &RequestLabels, code: u16) {
        self.terminated.get_or_create(&ResponseLabels { code, request: *request }).inc();
    }

    /// Records a request that panicked.
    pub fn record_panic(&self) {
        self.panics.inc();
    }

    /// Records a review; `code` is the HTTP status of the response, if there was one.
    pub fn record_delegated_request(&self, what: Delegated, code: Option<u16>) {
        let family = match what {
            Delegated::Authentication => &self.authentications,
            Delegated::Authorization => &self.authorizations,
        };
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        family.get_or_create(&CodeLabels { code }).inc();
    }

    /// Records user headers from a peer that is not a front proxy.
    pub fn record_rejected_proxy(&self) {
        self.rejected_proxies.inc();
    }

    /// Sets the expiry of a certificate.
    pub fn set_certificate_expiry(&self, which: Certificate, ends: Timestamp) {
        let labels = CertificateLabels { certificate: which };
        self.certificate_expiry.get_or_create(&labels).set(ends.as_second());
    }

    /// Records a storage failure.
    pub fn record_storage_incident(&self, incident: StorageIncident) {
        self.storage_incidents.get_or_create(&IncidentLabels { incident }).inc();
    }

    /// Gauge of requests in flight, by kind (`readOnly` or `mutating`).
    pub fn in_flight(&self, request_kind: &'static str) -> Gauge {
        self.in_flight.get_or_create(&RequestKindLabels { request_kind }).clone()
    }

    /// Counts a long-running request, such as a watch, until the guard is dropped.
    pub fn long_running(&self, request: &RequestLabels) -> LongRunningGauge {
        let gauge = self.long_running.get_or_create(request).clone();
        gauge.inc();
        LongRunningGauge(gauge)
    }

    /// Metrics of the limits that users share.
    pub fn flows(&self) -> &FlowMetrics {
        &self.flows
    }

    /// Counter of events that are sent to watches of a resource.
    pub fn watch_events(&self, resource: &'static str) -> Counter {
        self.watch_events.get_or_create(&WatchLabels { resource }).clone()
    }

    /// Metrics of controllers.
    pub fn controllers(&self) -> &ControllerMetrics {
        &self.controllers
    }

    /// Metrics of connections.
    pub fn connections(&self) -> &ConnectionMetrics {
        &self.connections
    }

    /// Gauges of stored data.
    pub fn usage(&self) -> &UsageMetrics {
        &self.usage
    }

    /// Metrics of the history of the storage.
    pub fn history(&self) -> &HistoryMetrics {
        &self.history
    }

    /// Metrics of admission webhooks.
    pub fn admission(&self) -> &AdmissionMetrics {
        &self.admission
    }

    /// Metrics of imports.
    pub fn imports(&self) -> &ImportMetrics {
        &self.imports
    }

    /// Counter of audit events.
    pub fn audit_events(&self) -> Counter {
        self.audit_events.clone()
    }

    /// Counter of lost audit events.
    pub fn audit_errors(&self) -> Counter {
        self.audit_errors.get_or_create(&AuditPluginLabels { plugin: "log" }).clone()
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        text_format::from_open_metrics(&self.open_metrics())
    }

    /// All metrics as OpenMetrics.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

/// Guard of a long-running request.
#[derive(Debug)]
pub struct LongRunningGauge(Gauge);

impl Drop for LongRunningGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_running_request_is_counted_until_dropped() {
        let metrics = Metrics::new();
        let labels =
            RequestLabels { verb: "WATCH", resource: "images", ..RequestLabels::default() };
        let count = || {
            let text = metrics.text();
            let name = "apiserver_longrunning_requests{verb=\"WATCH\"";
            let line = text.lines().find(|line| line.starts_with(name));
            line.map(|line| line.rsplit(' ').next().unwrap().to_owned()).unwrap_or_default()
        };
        let requests = [metrics.long_running(&labels), metrics.long_running(&labels)];
        assert_eq!(count(), "2");
        drop(requests);
        assert_eq!(count(), "0");
    }

    #[test]
    fn requests_that_differ_in_one_label_are_separate_series() {
        let metrics = Metrics::new();
        let first = RequestLabels {
            group: "a",
            version: "v1",
            resource: "things",
            ..RequestLabels::default()
        };
        for labels in [
            first,
            RequestLabels { verb: "GET", ..first },
            RequestLabels { group: "b", ..first },
            RequestLabels { version: "v2", ..first },
            RequestLabels { resource: "others", ..first },
            RequestLabels { subresource: "status", ..first },
            RequestLabels { scope: "cluster", ..first },
        ] {
            metrics.record_response(&labels, 200, Duration::ZERO);
        }
        let text = metrics.text();
        let series: Vec<_> =
            text.lines().filter(|line| line.starts_with("apiserver_request_total{")).collect();
        assert_eq!(series.len(), 7, "{text}");
        assert!(series.iter().all(|line| line.ends_with(" 1")), "{text}");
    }

    #[test]
    fn each_certificate_has_its_own_expiry_series() {
        let metrics = Metrics::new();
        let end = |second| Timestamp::from_second(second).unwrap();
        metrics.set_certificate_expiry(Certificate::Serving, end(5));
        metrics.set_certificate_expiry(Certificate::FrontProxyCa, end(6));
        metrics.set_certificate_expiry(Certificate::Serving, end(7));
        let text = metrics.text();
        let name = "imagestream_apiserver_certificate_expiration_timestamp_seconds";
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(text.contains(&format!("{name}{{certificate=\"serving\"}} 7")), "{text}");
        assert!(text.contains(&format!("{name}{{certificate=\"front-proxy-ca\"}} 6")), "{text}");
    }
}
