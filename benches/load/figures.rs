//! Results of a turn, and the columns that print them.

use std::time::Duration;

use crate::usage::Usage;

/// Results of a turn, as far as the scenario measures them. Latencies are those of the client,
/// which shares the processors with the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Requests or transactions per second.
    pub(crate) rate: Option<f64>,
    /// Median latency in microseconds.
    pub(crate) p50: Option<f64>,
    /// 99th percentile of the latency in microseconds.
    pub(crate) p99: Option<f64>,
    /// 99.9th percentile of the latency in microseconds.
    pub(crate) p999: Option<f64>,
    /// CPU time of the server per request, in microseconds.
    pub(crate) server_micros: Option<f64>,
    /// Highest memory use of the server in the turn, in MiB.
    pub(crate) resident_mib: Option<f64>,
    /// Mappings per second that run beside the requests.
    pub(crate) writes: Option<f64>,
    /// Time from the start of the process to readiness, in milliseconds.
    pub(crate) ready_millis: Option<f64>,
    /// Time from a request to the first byte of the response body, in milliseconds.
    pub(crate) first_millis: Option<f64>,
    /// Time from a request to the end of its response, or of the last response of a group, in
    /// milliseconds.
    pub(crate) whole_millis: Option<f64>,
    /// Largest increase of the server's memory, in MiB.
    pub(crate) rise_mib: Option<f64>,
    /// CPU time of the client per request, in microseconds.
    pub(crate) client_micros: Option<f64>,
    /// Share of the machine that other processes used, in percent.
    pub(crate) others_percent: Option<f64>,
}

/// Printed figure.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) decimals: usize,
    pub(crate) read: fn(&Figures) -> Option<f64>,
}

/// All columns. Ratios are meaningful for the first [`COMPARABLE`] ones.
pub(crate) const COLUMNS: [Column; 13] = [
    Column { title: "requests/s", decimals: 0, read: |figures| figures.rate },
    Column { title: "p50 us", decimals: 0, read: |figures| figures.p50 },
    Column { title: "p99 us", decimals: 0, read: |figures| figures.p99 },
    Column { title: "p99.9 us", decimals: 0, read: |figures| figures.p999 },
    Column { title: "CPU us", decimals: 1, read: |figures| figures.server_micros },
    Column { title: "RSS MiB", decimals: 1, read: |figures| figures.resident_mib },
    Column { title: "writes/s", decimals: 0, read: |figures| figures.writes },
    Column { title: "ready ms", decimals: 1, read: |figures| figures.ready_millis },
    Column { title: "first ms", decimals: 1, read: |figures| figures.first_millis },
    Column { title: "whole ms", decimals: 0, read: |figures| figures.whole_millis },
    Column { title: "rise MiB", decimals: 1, read: |figures| figures.rise_mib },
    Column { title: "client us", decimals: 1, read: |figures| figures.client_micros },
    Column { title: "others %", decimals: 1, read: |figures| figures.others_percent },
];
/// Number of leading columns that describe a server.
pub(crate) const COMPARABLE: usize = 11;

/// Latencies of a turn in nanoseconds, sorted. Each is at most 4.3 seconds (`u32`).
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Merges the latencies of several clients.
    pub(crate) fn of(parts: Vec<Vec<u32>>) -> Self {
        let mut all = parts.concat();
        all.sort_unstable();
        Self(all)
    }

    /// Number of requests.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Latency in microseconds at a quantile.
    fn quantile(&self, share: f64) -> Option<f64> {
        let place = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(place.max(1) - 1).map(|nanos| f64::from(*nanos) / 1e3)
    }
}

impl Figures {
    /// Results from latencies that were measured within this time.
    pub(crate) fn of(latencies: &Latencies, time: Duration) -> Self {
        Self {
            rate: Some(latencies.count() as f64 / time.as_secs_f64()),
            p50: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
            p999: latencies.quantile(0.999),
            ..Self::default()
        }
    }

    /// Adds the resource usage of this number of requests.
    pub(crate) fn with_usage(self, usage: Usage, requests: usize) -> Self {
        let for_each =
            |time: Duration| (requests > 0).then(|| time.as_secs_f64() * 1e6 / requests as f64);
        Self {
            server_micros: for_each(usage.server),
            client_micros: for_each(usage.client),
            others_percent: Some(usage.others * 100.0),
            ..self
        }
    }
}
