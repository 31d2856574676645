//! Metrics of connections.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Reason to refuse a connection, or a request before a filter has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnectionRefusal {
    /// The server has too many connections.
    #[error("too many connections: raise --max-connections")]
    Connections,
    /// The address of the client has too many connections.
    #[error("too many connections from the address: raise --max-connections-per-address")]
    ConnectionsOfAddress,
    /// The address of the client starts too many TLS handshakes.
    #[error("too many TLS handshakes from the address: raise --max-handshakes-per-address")]
    Handshakes,
    /// Requests of clients without a client certificate hold too much memory.
    #[error("requests of clients without a client certificate hold too much memory")]
    Memory,
}

impl ConnectionRefusal {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::Connections, Self::ConnectionsOfAddress, Self::Handshakes, Self::Memory];
}

impl EncodeLabelValue for ConnectionRefusal {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Connections => "connections",
            Self::ConnectionsOfAddress => "connections-of-address",
            Self::Handshakes => "handshakes",
            Self::Memory => "memory",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: ConnectionRefusal,
}

/// Metrics of connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    open: Gauge,
    refusals: Family<RefusalLabels, Counter>,
}

impl ConnectionMetrics {
    /// Registers the metrics, with all counters at zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        for reason in ConnectionRefusal::ALL {
            // An alert on an increase needs the series at zero.
            drop(self.refusals.get_or_create(&RefusalLabels { reason }));
        }
        registry.register(
            "imagestream_apiserver_connections",
            "Open connections, with those in a TLS handshake",
            self.open.clone(),
        );
        registry.register(
            "imagestream_apiserver_connection_refusals",
            "Connections, and requests before authentication, refused by a limit of the listener",
            self.refusals.clone(),
        );
    }

    /// Gauge of open connections.
    pub fn open(&self) -> &Gauge {
        &self.open
    }

    /// Records a refusal.
    pub fn record_refusal(&self, reason: ConnectionRefusal) {
        self.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// Number of refusals for a reason.
    pub fn refusals(&self, reason: ConnectionRefusal) -> u64 {
        self.refusals.get_or_create(&RefusalLabels { reason }).get()
    }
}
