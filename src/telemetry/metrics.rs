//! Metrics in the names that dashboards for API servers know. Labels come from closed sets only.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::usage_metrics::UsageMetrics;

/// What a request was, as metrics name it. All is empty for paths that are no resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestLabels {
    /// The verb in capitals, such as `GET` or `LIST`.
    pub verb: &'static str,
    /// The API group.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The aspect of the resource.
    pub subresource: &'static str,
    /// `resource`, `namespace` or `cluster`.
    pub scope: &'static str,
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

/// Whether a request changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestKindLabels {
    request_kind: &'static str,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    resource: &'static str,
}

/// A certificate that the server depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// The one that the server shows.
    Serving,
    /// The CA of the server's own, which signs that.
    ServingCa,
    /// The CA of users' certificates that ends first.
    ClientCa,
    /// The CA of the front proxy that ends first.
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

/// What the control plane decides in the place of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delegated {
    /// Who somebody is.
    Authentication,
    /// Who may do what.
    Authorization,
}

/// The status of an answer of the control plane; `<error>` where there was none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: String,
}

/// Which part of the audit failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditPluginLabels {
    plugin: &'static str,
}

/// What happened to the storage and should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageIncident {
    /// Something that was read is not what was written.
    Damaged,
    /// Something was not written for want of space.
    Full,
    /// It failed and had to be opened again.
    Failed,
}

impl StorageIncident {
    const ALL: [Self; 3] = [Self::Damaged, Self::Full, Self::Failed];
}

impl EncodeLabelValue for StorageIncident {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Damaged => "damaged",
            Self::Full => "full",
            Self::Failed => "failed",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IncidentLabels {
    incident: StorageIncident,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

/// The metrics of a server.
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
    controller_restarts: Family<ControllerLabels, Counter>,
    usage: UsageMetrics,
}

/// Upper bounds of the classes of duration, in seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

impl Metrics {
    /// All metrics at zero.
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
            controller_restarts: Family::default(),
            usage: UsageMetrics::default(),
        };
        let start = Gauge::<f64, AtomicU64>::default();
        start.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        let registry = &mut metrics.registry;
        registry.register("apiserver_request", "Requests that were answered", metrics.requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time from a request to its answer",
            metrics.durations.clone(),
        );
        registry.register("apiserver_current_inflight_requests", "Requests being worked on", metrics.in_flight.clone());
        let text = "Events that were sent to watchers";
        registry.register("apiserver_watch_events", text, metrics.watch_events.clone());
        let text = "Requests that were turned away or ended early by the server to protect itself";
        registry.register("apiserver_request_terminations", text, metrics.terminated.clone());
        registry.register("apiserver_request_panics", "Requests that ended in a panic", metrics.panics.clone());
        let text = "Reviews of tokens that the control plane was asked for";
        registry.register("apiserver_delegated_authn_request", text, metrics.authentications.clone());
        let text = "Reviews of access that the control plane was asked for";
        registry.register("apiserver_delegated_authz_request", text, metrics.authorizations.clone());
        let text = "Requests that name a user and come with a certificate that is not the one of a front proxy";
        registry.register("imagestream_apiserver_front_proxy_refused", text, metrics.rejected_proxies.clone());
        registry.register("apiserver_audit_event", "Audit events that were made", metrics.audit_events.clone());
        registry.register("apiserver_audit_error", "Audit events that were lost", metrics.audit_errors.clone());
        let text = "When a certificate that the server depends on ends, in seconds since 1970";
        let name = "imagestream_apiserver_certificate_expiration_timestamp_seconds";
        registry.register(name, text, metrics.certificate_expiry.clone());
        for incident in StorageIncident::ALL {
            // An alert on its rise needs to know it at zero.
            drop(metrics.storage_incidents.get_or_create(&IncidentLabels { incident }));
        }
        let text = "Damage that was read, writes that found no space, and failures of the storage";
        registry.register("imagestream_apiserver_storage_incidents", text, metrics.storage_incidents.clone());
        let text = "Requests that last, such as watches, and are being answered";
        registry.register("apiserver_longrunning_requests", text, metrics.long_running.clone());
        let text = "Controllers that ended and were started again";
        registry.register("imagestream_apiserver_controller_restarts", text, metrics.controller_restarts.clone());
        metrics.usage.register(registry);
        registry.register("process_start_time_seconds", "When the process started, since 1970", start);
        metrics
    }

    /// A request was answered.
    pub fn record_response(&self, request: &RequestLabels, code: u16, took: Duration) {
        self.requests.get_or_create(&ResponseLabels { code, request: *request }).inc();
        self.durations.get_or_create(request).observe(took.as_secs_f64());
    }

    /// A request was turned away, or ended, because the server has too much to do.
    pub fn record_termination(&self, request: &RequestLabels, code: u16) {
        self.terminated.get_or_create(&ResponseLabels { code, request: *request }).inc();
    }

    /// A request ended in a panic.
    pub fn record_panic(&self) {
        self.panics.inc();
    }

    /// The control plane was asked; with the status of its answer, if there was one.
    pub fn record_delegated_request(&self, what: Delegated, code: Option<u16>) {
        let family = match what {
            Delegated::Authentication => &self.authentications,
            Delegated::Authorization => &self.authorizations,
        };
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        family.get_or_create(&CodeLabels { code }).inc();
    }

    /// Somebody wanted to ask on behalf of others and is no front proxy.
    pub fn record_rejected_proxy(&self) {
        self.rejected_proxies.inc();
    }

    /// A certificate ends at this time.
    pub fn set_certificate_expiry(&self, which: Certificate, ends: Timestamp) {
        self.certificate_expiry.get_or_create(&CertificateLabels { certificate: which }).set(ends.as_second());
    }

    /// Something happened to the storage.
    pub fn record_storage_incident(&self, incident: StorageIncident) {
        self.storage_incidents.get_or_create(&IncidentLabels { incident }).inc();
    }

    /// The gauge of requests of a kind (`readOnly` or `mutating`) that are being worked on.
    pub fn in_flight(&self, request_kind: &'static str) -> Gauge {
        self.in_flight.get_or_create(&RequestKindLabels { request_kind }).clone()
    }

    /// Counts a request that lasts, such as a watch, until what this hands out is dropped.
    pub fn long_running(&self, request: &RequestLabels) -> LongRunningGauge {
        let gauge = self.long_running.get_or_create(request).clone();
        gauge.inc();
        LongRunningGauge(gauge)
    }

    /// The counter of events that are sent to those who watch a resource.
    pub fn watch_events(&self, resource: &'static str) -> Counter {
        self.watch_events.get_or_create(&WatchLabels { resource }).clone()
    }

    /// The counter of restarts of a controller. It is exported from here on.
    pub fn controller_restarts(&self, controller: &'static str) -> Counter {
        self.controller_restarts.get_or_create(&ControllerLabels { controller }).clone()
    }

    /// The gauges of what is stored.
    pub fn usage(&self) -> &UsageMetrics {
        &self.usage
    }

    /// The counter of audit events.
    pub fn audit_events(&self) -> Counter {
        self.audit_events.clone()
    }

    /// The counter of audit events that did not get into the audit log.
    pub fn audit_errors(&self) -> Counter {
        self.audit_errors.get_or_create(&AuditPluginLabels { plugin: "log" }).clone()
    }

    /// All metrics, as a scraper reads them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

/// A request that is being answered for long.
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
    fn a_request_that_lasts_is_counted_as_long_as_it_does() {
        let metrics = Metrics::new();
        let labels = RequestLabels { verb: "WATCH", resource: "images", ..RequestLabels::default() };
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
    fn requests_that_differ_in_one_label_are_counted_apart() {
        let metrics = Metrics::new();
        let first = RequestLabels { group: "a", version: "v1", resource: "things", ..RequestLabels::default() };
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
        let series: Vec<_> = text.lines().filter(|line| line.starts_with("apiserver_request_total{")).collect();
        assert_eq!(series.len(), 7, "{text}");
        assert!(series.iter().all(|line| line.ends_with(" 1")), "{text}");
    }

    #[test]
    fn the_end_of_each_certificate_is_a_gauge_of_its_own() {
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
