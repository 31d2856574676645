//! What a turn showed, and the columns in which that is printed.

use std::time::Duration;

use crate::usage::Usage;

/// What a turn showed, as far as the scenario has it. Latencies are as the client sees them, which shares the processors
/// with the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Requests, or transactions, a second.
    pub(crate) rate: Option<f64>,
    /// Latency that half of the requests stay below, in microseconds.
    pub(crate) p50: Option<f64>,
    /// The same for 99 %.
    pub(crate) p99: Option<f64>,
    /// The same for 99.9 %.
    pub(crate) p999: Option<f64>,
    /// Processor time of the server for a request, in microseconds.
    pub(crate) server_micros: Option<f64>,
    /// Memory of the server, the most that was seen in the turn, in MiB.
    pub(crate) resident_mib: Option<f64>,
    /// Mappings a second beside the requests.
    pub(crate) writes: Option<f64>,
    /// From the start of the process to readiness, in milliseconds.
    pub(crate) ready_millis: Option<f64>,
    /// From a request to the first byte of the body of its answer, in milliseconds.
    pub(crate) first_millis: Option<f64>,
    /// From a request to the end of its answer, or of the last of those that belong together, in milliseconds.
    pub(crate) whole_millis: Option<f64>,
    /// By how much the memory of the server rose at most, in MiB.
    pub(crate) rise_mib: Option<f64>,
    /// Processor time of the client for a request, in microseconds.
    pub(crate) client_micros: Option<f64>,
    /// The share of the machine that neither had, in percent.
    pub(crate) others_percent: Option<f64>,
}

/// A figure as it is printed.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) decimals: usize,
    pub(crate) read: fn(&Figures) -> Option<f64>,
}

/// All columns. Of the first ones, [`COMPARABLE`], a ratio says something.
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
/// How many columns, from the first, say something of a server.
pub(crate) const COMPARABLE: usize = 11;

/// The latencies of a turn, in nanoseconds and in order; each at most the 4.3 seconds that fit.
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Puts together what several clients measured.
    pub(crate) fn of(parts: Vec<Vec<u32>>) -> Self {
        let mut all = parts.concat();
        all.sort_unstable();
        Self(all)
    }

    /// Of how many requests.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency, in microseconds, that a share of all stays below.
    fn quantile(&self, share: f64) -> Option<f64> {
        let place = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(place.max(1) - 1).map(|nanos| f64::from(*nanos) / 1e3)
    }
}

impl Figures {
    /// What latencies show that were measured within this time.
    pub(crate) fn of(latencies: &Latencies, time: Duration) -> Self {
        Self {
            rate: Some(latencies.count() as f64 / time.as_secs_f64()),
            p50: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
            p999: latencies.quantile(0.999),
            ..Self::default()
        }
    }

    /// Adds what was taken of the machine by so many requests.
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
