//! A limit on repeated warnings and errors, so that neither a client nor a broken disk fills the
//! log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Target of events about slow requests, which are limited as warnings are.
pub const SLOW: &str = "imagestream_apiserver::slow";

/// Maximum number of lines of one message in a [`WINDOW`].
const MAX_LINES: u32 = 30;
/// Time in which lines are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Interval in which suppressed lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Layer that drops warnings, errors and events of [`SLOW`] beyond 30 lines of the same message in
/// a minute. The
/// message is that of a line of code: values of fields do not count.
pub(super) struct RepeatLimit(Arc<Mutex<LineCounts>>);

/// Report of dropped lines.
pub struct SuppressedLines(Arc<Mutex<LineCounts>>);

/// Counts of the lines of each message, by the place in the code that writes them. The code has a
/// limited number of them.
#[derive(Default)]
struct LineCounts(HashMap<&'static str, Count>);

struct Count {
    started: Instant,
    lines: u32,
    suppressed: u64,
    message: String,
}

/// Decision about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineDecision {
    Admitted,
    /// The first suppressed line since the last report.
    FirstSuppressed,
    Suppressed,
}

impl RepeatLimit {
    pub(super) fn new() -> (Self, SuppressedLines) {
        let counts = Arc::<Mutex<LineCounts>>::default();
        (Self(counts.clone()), SuppressedLines(counts))
    }
}

impl<S: Subscriber> Layer<S> for RepeatLimit {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN && metadata.target() != SLOW {
            return true;
        }
        let place = metadata.name();
        let admission = self.0.lock().admit(place, Instant::now());
        if admission == LineDecision::FirstSuppressed {
            // Recorded without the lock, because values of fields run code of their own.
            let mut message = MessageText(String::new());
            event.record(&mut message);
            self.0.lock().set_message(place, message.0);
        }
        admission == LineDecision::Admitted
    }
}

impl SuppressedLines {
    /// Logs the number of dropped lines of each message at intervals. Never returns.
    pub async fn report_at_intervals(self) {
        loop {
            tokio::time::sleep(REPORT_INTERVAL).await;
            self.report();
        }
    }

    fn report(&self) {
        // Nothing is logged under the lock, which a log line takes.
        let suppressed = self.0.lock().take_suppressed();
        for (of, lines) in suppressed {
            warn!(of, lines, "suppressed repeated log lines");
        }
    }
}

impl LineCounts {
    fn admit(&mut self, place: &'static str, now: Instant) -> LineDecision {
        let first = || Count { started: now, lines: 0, suppressed: 0, message: String::new() };
        let count = self.0.entry(place).or_insert_with(first);
        if now.duration_since(count.started) >= WINDOW {
            (count.started, count.lines) = (now, 0);
        }
        if count.lines < MAX_LINES {
            count.lines += 1;
            return LineDecision::Admitted;
        }
        count.suppressed += 1;
        if count.suppressed == 1 { LineDecision::FirstSuppressed } else { LineDecision::Suppressed }
    }

    fn set_message(&mut self, place: &'static str, message: String) {
        if let Some(count) = self.0.get_mut(place) {
            count.message = message;
        }
    }

    fn take_suppressed(&mut self) -> Vec<(String, u64)> {
        let counts = self.0.values_mut().filter(|count| count.suppressed > 0);
        counts
            .map(|count| {
                let lines = std::mem::take(&mut count.suppressed);
                (std::mem::take(&mut count.message), lines)
            })
            .collect()
    }
}

/// Visitor that keeps the text of an event.
struct MessageText(String);

impl Visit for MessageText {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::{error, info};
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::log::tests::LogBuffer;
    use super::*;

    fn with_limit(log: impl FnOnce(&SuppressedLines)) -> String {
        let buffer = LogBuffer::default();
        let writer = buffer.clone();
        let (limit, suppressed) = RepeatLimit::new();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(lines.with(limit), || log(&suppressed));
        buffer.text()
    }

    fn count(text: &str, of: &str) -> usize {
        text.lines().filter(|line| line.contains(of)).count()
    }

    #[test]
    fn repeated_errors_are_dropped_and_counted() {
        let text = with_limit(|suppressed| {
            for number in 0..1000 {
                error!(number, "the disk is broken");
                info!(number, "served");
            }
            error!("another error");
            suppressed.report();
            suppressed.report();
        });
        assert_eq!(count(&text, "the disk is broken"), 31, "{text}");
        assert_eq!(count(&text, "served"), 1000);
        assert_eq!(count(&text, "another error"), 1);
        let report = "suppressed repeated log lines of=\"the disk is broken\" lines=970";
        assert_eq!(count(&text, report), 1, "{text}");
    }

    #[test]
    fn message_is_admitted_again_in_the_next_window() {
        let (mut counts, start) = (LineCounts::default(), Instant::now());
        let mut admitted = |now| {
            let of =
                (0..100).filter(|_| counts.admit("event a.rs:1", now) == LineDecision::Admitted);
            of.count()
        };
        assert_eq!(admitted(start), MAX_LINES as usize);
        assert_eq!(admitted(start + WINDOW / 2), 0);
        assert_eq!(admitted(start + WINDOW), MAX_LINES as usize);
        assert_eq!(counts.take_suppressed(), [(String::new(), 70 + 100 + 70)]);
    }
}
