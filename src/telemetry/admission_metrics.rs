//! Metrics of admission, with the names of kube-apiserver.
//!
//! Administrators choose the names of webhooks, so only the first ones are labels. The others share
//! a series.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Maximum number of webhooks with series of their own.
const MAX_WEBHOOKS: usize = 64;
/// Label of all other webhooks.
const OTHER: &str = "other";
/// Upper bounds of the duration buckets, in seconds, as in
/// `k8s.io/apiserver/pkg/admission/metrics/metrics.go`.
const DURATION_BUCKETS: [f64; 7] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0];

/// A call of a webhook, as labels.
#[derive(Clone, Copy, Debug)]
pub struct WebhookCall<'a> {
    /// Name of the webhook.
    pub name: &'a str,
    /// `admit` or `validating`.
    pub kind: &'static str,
    /// Operation of the write.
    pub operation: &'static str,
    /// Code of the response to the client; 200 if the write goes on.
    pub code: u16,
}

/// Reason of an error to which a webhook led, as `WebhookRejectionErrorType` in
/// `k8s.io/apiserver/pkg/admission/metrics/metrics.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookRejection {
    /// The webhook denied the write with this code.
    Denied(u16),
    /// The call failed.
    FailedCall,
    /// The server could not do what the webhook needs.
    Internal,
}

/// Largest code in a label.
const MAX_REJECTION_CODE: u16 = 600;

/// Metrics of admission. Copies share them.
#[derive(Clone)]
pub struct AdmissionMetrics {
    requests: Family<WebhookRequestLabels, Counter>,
    durations: Family<WebhookDurationLabels, Histogram>,
    rejections: Family<WebhookRejectionLabels, Counter>,
    fail_opens: Family<FailOpenLabels, Counter>,
    known: Family<RuleLabels, Gauge>,
    names: Arc<Mutex<HashSet<String>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookRequestLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    code: u16,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookDurationLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookRejectionLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailOpenLabels {
    name: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    resource: String,
}

impl Default for AdmissionMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            rejections: Family::default(),
            fail_opens: Family::default(),
            known: Family::default(),
            names: Arc::default(),
        }
    }
}

impl AdmissionMetrics {
    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        let text = "Calls of admission webhooks, by the code that the client gets";
        registry.register("apiserver_admission_webhook_request", text, self.requests.clone());
        let text = "Durations of calls of admission webhooks, in seconds";
        let name = "apiserver_admission_webhook_admission_duration_seconds";
        registry.register(name, text, self.durations.clone());
        let text = "Writes that admission webhooks refused, or that failed with them";
        let name = "apiserver_admission_webhook_rejection_count";
        registry.register(name, text, self.rejections.clone());
        let text = "Failed calls of admission webhooks that were ignored";
        registry.register(
            "apiserver_admission_webhook_fail_open_count",
            text,
            self.fail_opens.clone(),
        );
        let text = "1 if the admission rules of a resource of the cluster are known, 0 if writes wait for them";
        let name = "imagestream_apiserver_admission_rules_known";
        registry.register(name, text, self.known.clone());
    }

    /// Records a call.
    pub fn record_call(&self, call: WebhookCall<'_>, duration: Duration) {
        let WebhookCall { name, kind, operation, code } = call;
        let (name, rejected) = (self.label(name), if code == 200 { "false" } else { "true" });
        let labels =
            WebhookDurationLabels { name: name.clone(), r#type: kind, operation, rejected };
        self.durations.get_or_create(&labels).observe(duration.as_secs_f64());
        let labels = WebhookRequestLabels { name, r#type: kind, operation, code, rejected };
        self.requests.get_or_create(&labels).inc();
    }

    /// Records that a webhook was the reason of an error.
    pub fn record_rejection(
        &self,
        name: &str,
        kind: &'static str,
        operation: &'static str,
        rejection: WebhookRejection,
    ) {
        let (error_type, code) = match rejection {
            WebhookRejection::Denied(code) => ("no_error", code),
            WebhookRejection::FailedCall => ("calling_webhook_error", 503),
            WebhookRejection::Internal => ("apiserver_internal_error", 0),
        };
        let (name, rejection_code) = (self.label(name), code.min(MAX_REJECTION_CODE));
        let labels =
            WebhookRejectionLabels { name, r#type: kind, operation, error_type, rejection_code };
        self.rejections.get_or_create(&labels).inc();
    }

    /// Records a failed call that was ignored.
    pub fn record_fail_open(&self, name: &str, kind: &'static str) {
        let labels = FailOpenLabels { name: self.label(name), r#type: kind };
        self.fail_opens.get_or_create(&labels).inc();
    }

    /// Sets the number of lists of a resource with admission rules that are known: 0 or 1.
    pub fn set_known(&self, resource: &str, lists: i64) {
        self.known.get_or_create(&RuleLabels { resource: resource.to_owned() }).set(lists);
    }

    fn label(&self, name: &str) -> String {
        let mut names = self.names.lock();
        if names.contains(name) || names.len() < MAX_WEBHOOKS {
            names.insert(name.to_owned());
            return name.to_owned();
        }
        OTHER.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_series_is_bounded() {
        let metrics = AdmissionMetrics::default();
        let labels: HashSet<String> =
            (0..1000).map(|number| metrics.label(&format!("w{number}"))).collect();
        assert_eq!(labels.len(), MAX_WEBHOOKS + 1);
        assert_eq!(metrics.label("w0"), "w0");
        assert_eq!(metrics.label("w999"), OTHER);
    }
}
