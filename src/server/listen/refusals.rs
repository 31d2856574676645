//! Metrics and log lines of refusals.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::warn;

use crate::telemetry::connection_metrics::{ConnectionMetrics, ConnectionRefusal};

/// Minimum time between two log lines for the same reason. Clients choose the number of refusals.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Records refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    metrics: ConnectionMetrics,
    logs: Mutex<[RefusalLog; ConnectionRefusal::ALL.len()]>,
}

/// The log lines for one reason.
#[derive(Debug, Default)]
struct RefusalLog {
    last: Option<Instant>,
    suppressed: u64,
}

impl Refusals {
    pub(super) fn new(metrics: ConnectionMetrics) -> Self {
        Self { metrics, logs: Mutex::default() }
    }

    /// Records that something was refused to a client.
    pub(super) fn record(&self, reason: ConnectionRefusal, address: IpAddr) {
        self.metrics.record_refusal(reason);
        let suppressed = self.logs.lock()[reason as usize].record(Instant::now());
        if let Some(suppressed) = suppressed {
            warn!(%address, %reason, suppressed, "refused a client");
        }
    }
}

impl RefusalLog {
    /// Returns the number of refusals that were not logged, if this one should be logged.
    fn record(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if !is_due {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_reason() {
        let metrics = ConnectionMetrics::default();
        let refusals = Refusals::new(metrics.clone());
        let address = [192, 0, 2, 1].into();
        refusals.record(ConnectionRefusal::Memory, address);
        refusals.record(ConnectionRefusal::Memory, address);
        refusals.record(ConnectionRefusal::Handshakes, address);
        let counts = ConnectionRefusal::ALL.map(|reason| metrics.refusals(reason));
        assert_eq!(counts, [0, 0, 1, 2]);
    }

    #[test]
    fn a_log_line_counts_those_that_were_suppressed() {
        let (mut log, now) = (RefusalLog::default(), Instant::now());
        assert_eq!(log.record(now), Some(0));
        assert_eq!([log.record(now), log.record(now + LOG_INTERVAL / 2)], [None, None]);
        assert_eq!(log.record(now + LOG_INTERVAL), Some(2));
        assert_eq!(log.record(now + 2 * LOG_INTERVAL), Some(0));
    }
}
