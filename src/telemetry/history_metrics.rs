//! Metrics of the history of the store: refused writes, early compactions, and the largest account.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The limit that refuses a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedBy {
    /// The account has too many bytes.
    Amount,
    /// The account writes too fast.
    Rate,
}

impl RefusedBy {
    const ALL: [Self; 2] = [Self::Amount, Self::Rate];

    /// The name, as the label `limit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Rate => "rate",
        }
    }
}

impl EncodeLabelValue for RefusedBy {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        EncodeLabelValue::encode(&self.name(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    limit: RefusedBy,
}

/// Metrics of the history of the store.
#[derive(Default)]
pub struct HistoryMetrics {
    refusals: Family<RefusalLabels, Counter>,
    early_compactions: Counter,
    largest: Gauge,
}

impl HistoryMetrics {
    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        for limit in RefusedBy::ALL {
            // An alert on an increase needs the series at zero.
            drop(self.refusals.get_or_create(&RefusalLabels { limit }));
        }
        let text = "Writes refused because a namespace has too many bytes in the storage, or writes them too fast";
        registry.register("imagestream_apiserver_history_refusals", text, self.refusals.clone());
        let text =
            "Compactions of revisions younger than the retention because the volume is nearly full";
        let name = "imagestream_apiserver_early_compactions";
        registry.register(name, text, self.early_compactions.clone());
        let text = "Bytes in the storage of the namespace with the most, including replaced and deleted objects";
        let name = "imagestream_apiserver_largest_namespace_bytes";
        registry.register(name, text, self.largest.clone());
    }

    /// Records a refused write.
    pub fn record_refusal(&self, limit: RefusedBy) {
        self.refusals.get_or_create(&RefusalLabels { limit }).inc();
    }

    /// Records a compaction before the end of the retention.
    pub fn record_early_compaction(&self) {
        self.early_compactions.inc();
    }

    /// Sets the bytes of the account with the most.
    pub fn set_largest(&self, bytes: u64) {
        self.largest.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
