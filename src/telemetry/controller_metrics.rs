//! Metrics of controllers: restarts, and the elections of those that run on one replica.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ElectionLabels {
    name: &'static str,
}

/// Metrics of controllers.
#[derive(Debug, Default)]
pub struct ControllerMetrics {
    restarts: Family<ControllerLabels, Counter>,
    elected: Family<ElectionLabels, Gauge>,
}

impl ControllerMetrics {
    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        let text = "Restarts of controllers";
        let name = "imagestream_apiserver_controller_restarts";
        registry.register(name, text, self.restarts.clone());
        let text = "1 on the replica that is elected for a controller, 0 on the others";
        registry.register("leader_election_master_status", text, self.elected.clone());
    }

    /// Counter of restarts of a controller. The series appears at zero with the first call.
    pub fn restarts(&self, controller: &'static str) -> Counter {
        self.restarts.get_or_create(&ControllerLabels { controller }).clone()
    }

    /// Shows that this replica is not elected for a controller.
    pub fn show_election(&self, controller: &'static str) {
        self.elected.get_or_create(&ElectionLabels { name: controller }).set(0);
    }

    /// Shows that this replica is elected for a controller, until the guard is dropped.
    pub fn show_term(&self, controller: &'static str) -> ElectedGauge {
        let gauge = self.elected.get_or_create(&ElectionLabels { name: controller }).clone();
        gauge.set(1);
        ElectedGauge(gauge)
    }
}

/// Gauge of a controller for which this replica is elected.
#[derive(Debug)]
pub struct ElectedGauge(Gauge);

impl Drop for ElectedGauge {
    fn drop(&mut self) {
        self.0.set(0);
    }
}
