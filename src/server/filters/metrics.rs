//! The metrics of requests.

use std::time::Duration;

use crate::endpoints::request_info::RequestInfo;
use crate::endpoints::serve::Api;
use crate::endpoints::verb::Verb;
use crate::resources::API;
use crate::telemetry::metrics::{Metrics, RequestLabels};

/// The labels of a request. All are empty unless its path is that of a known resource, so that
/// clients cannot make new series.
pub(super) fn labels(api: &Api, info: &RequestInfo<'_>) -> RequestLabels {
    let Some(resource) = info.resource_of(API) else {
        return RequestLabels::default();
    };
    let Ok(endpoint) = api.find(resource) else {
        return RequestLabels::default();
    };
    // As `CleanScope` in k8s.io/apiserver/pkg/endpoints/metrics/metrics.go.
    let scope = match (resource.namespace, resource.name) {
        ("", "") => "cluster",
        (_, "") => "namespace",
        _ => "resource",
    };
    RequestLabels {
        verb: resource.verb.map_or("", Verb::metric_label),
        group: API.group,
        version: API.version,
        resource: endpoint.resource,
        subresource: endpoint.subresource.unwrap_or_default(),
        scope,
    }
}

/// Records the response to a request. Those with 429 are counted as terminations, too, whatever the
/// limit.
pub(super) fn record(metrics: &Metrics, labels: &RequestLabels, code: u16, took: Duration) {
    metrics.record_response(labels, code, took);
    if code == 429 {
        metrics.record_termination(labels, code);
    }
}
