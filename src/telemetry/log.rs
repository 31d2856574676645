//! Log output on stderr, as text or JSON. Only binaries call [`init`]; libraries emit events.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::DefaultFields;
use tracing_subscriber::fmt::{self, MakeWriter, SubscriberBuilder};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::caught_panic;
use super::repeat_limit::{RepeatLimit, SuppressedLines};

/// Environment variable that overrides `-v`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Flags of logging.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Audit and logging")]
pub struct Options {
    /// Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything.
    ///
    /// Requests are logged with their users and queries. The environment variable RUST_LOG
    /// overrides it. Debug output of libraries can contain credentials.
    #[arg(short = 'v', long = "v", id = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
    /// Log format.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub logging_format: LogFormat,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text for each event.
    Text,
    /// One JSON object for each event.
    Json,
}

/// Error of setting up the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Invalid filter in the environment variable.
    #[error("{FILTER_VARIABLE}={value:?} is not a valid log filter: {reason}")]
    Filter {
        /// Value of the variable.
        value: String,
        /// Reason.
        reason: String,
    },
    /// Log that is set up already.
    #[error("the log is set up already: {0}")]
    AlreadyInitialized(String),
}

/// Target of the events that `-v=4` adds.
pub const STEPS: &str = "imagestream_apiserver::steps";

/// A duration in milliseconds for the log, with at most three digits behind the point.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// A duration in seconds for the log, with at most three digits behind the point.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}

/// A duration without the digits below a millisecond, for the log.
pub fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Sends all events and panics to stderr, without colours. Repeated warnings and errors are
/// dropped: the result reports their number.
pub fn init(verbosity: u8, format: LogFormat) -> Result<SuppressedLines, LogError> {
    init_with(directives(verbosity), format)
}

/// Sends warnings and errors to stderr, and further events only with a verbosity above 0. For
/// commands that print results.
pub fn init_quiet(verbosity: u8, format: LogFormat) -> Result<SuppressedLines, LogError> {
    let directives = if verbosity == 0 { WARNINGS } else { directives(verbosity) };
    init_with(directives, format)
}

fn init_with(directives: &str, format: LogFormat) -> Result<SuppressedLines, LogError> {
    let filter = filter(directives, env::var(FILTER_VARIABLE).ok())?;
    let lines = lines(io::stderr).with_env_filter(filter);
    let (limit, suppressed) = RepeatLimit::new();
    match format {
        LogFormat::Text => lines.finish().with(limit).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().with(limit).try_init(),
    }
    .map_err(|error| LogError::AlreadyInitialized(error.to_string()))?;
    caught_panic::set_hook();
    Ok(suppressed)
}

/// Subscriber for lines of text, at level info and above.
fn lines<W: Write + 'static>(
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> SubscriberBuilder<
    DefaultFields,
    fmt::format::Format,
    LevelFilter,
    impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
> {
    tracing_subscriber::fmt()
        .with_writer(move || OneLine(writer()))
        .with_ansi(false)
        // It would report a failed write to stderr on stderr, and panic.
        .log_internal_errors(false)
}

/// Writer of events as one line each. The formatter writes an event at once, with a newline at
/// its end. Every other control character comes from a value and is escaped.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        match text.strip_suffix('\n') {
            Some(line) => self.0.write_all(format!("{}\n", escaped(line)).as_bytes())?,
            None => self.0.write_all(escaped(&text).as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Escapes characters that could end the line, control a terminal or change the reading order:
/// control characters, line separators and bidirectional marks. The escapes have the same meaning
/// in a JSON string.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            letter if is_unprintable(letter) => {
                write!(escaped, "\\u{:04x}", u32::from(letter))
                    .expect("writing to a String does not fail");
            }
            letter => escaped.push(letter),
        }
    }
    Cow::Owned(escaped)
}

fn is_unprintable(letter: char) -> bool {
    const SEPARATORS_AND_OVERRIDES: [std::ops::RangeInclusive<char>; 3] =
        ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    letter.is_control() || SEPARATORS_AND_OVERRIDES.iter().any(|range| range.contains(&letter))
}

/// Directives for warnings and errors.
const WARNINGS: &str = "warn,kube_runtime=off,kube_client=off";

/// Filter of the environment variable or, without one, of these directives.
fn filter(directives: &str, environment: Option<String>) -> Result<EnvFilter, LogError> {
    match environment.filter(|value| !value.is_empty()) {
        Some(value) => EnvFilter::try_new(&value).map_err(|error| {
            let reason = error.to_string();
            LogError::Filter { value, reason }
        }),
        None => Ok(EnvFilter::new(directives)),
    }
}

/// Filter directives of `-v`. Libraries stay at info. `kube` is off: it logs each attempt during an
/// outage, which `cluster` logs once.
fn directives(verbosity: u8) -> &'static str {
    match verbosity {
        0..=1 => "info,kube_runtime=off,kube_client=off",
        2..=3 => "info,kube_runtime=off,kube_client=off,imagestream_apiserver=debug",
        4 => {
            "info,kube_runtime=off,kube_client=off,imagestream_apiserver=debug,imagestream_apiserver::steps=trace"
        }
        5.. => "info,kube_runtime=off,kube_client=off,imagestream_apiserver=trace",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn verbosity_applies_to_our_own_events_only() {
        for verbosity in [0, 1] {
            let filter = filter(directives(verbosity), None).unwrap().to_string();
            assert!(
                !filter.contains("imagestream_apiserver") && filter.contains("kube_runtime=off"),
                "{filter}"
            );
        }
        for (verbosity, level) in [(2, "debug"), (4, "debug"), (5, "trace"), (10, "trace")] {
            let filter = filter(directives(verbosity), None).unwrap().to_string();
            assert!(filter.contains(&format!("imagestream_apiserver={level}")), "{filter}");
            assert!(filter.split(',').any(|directive| directive == "info"), "{filter}");
        }
    }

    #[test]
    fn steps_begin_at_verbosity_4() {
        for (verbosity, has_steps) in [(3, false), (4, true), (5, true)] {
            let lines = tracing_subscriber::fmt().with_env_filter(directives(verbosity)).finish();
            tracing::subscriber::with_default(lines, || {
                assert_eq!(tracing::enabled!(target: STEPS, tracing::Level::TRACE), has_steps);
            });
        }
    }

    #[test]
    fn milliseconds_have_three_digits_behind_the_point() {
        for (nanoseconds, text) in [(1_234_567, "1.234"), (2_000_000, "2"), (900, "0")] {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)).to_string(), text);
        }
    }

    #[test]
    fn environment_overrides_the_flag_unless_empty() {
        assert_eq!(filter(directives(9), Some("warn".into())).unwrap().to_string(), "warn");
        assert!(filter(directives(0), Some(String::new())).unwrap().to_string().contains("info"));
    }

    #[test]
    fn invalid_filter_error_names_the_variable() {
        let error = filter(directives(0), Some("a=loud".into())).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG=\"a=loud\""), "{error}");
    }

    /// In-memory writer.
    #[derive(Clone, Default)]
    pub(in super::super) struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl LogBuffer {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str =
        "a\n2026-11-28T18:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{2028}\u{202e}b\tc";

    /// Logs [`HOSTILE`] in every part of an event that takes a value.
    fn log_hostile_values() {
        let span = tracing::info_span!("span", of_span = %HOSTILE);
        let _entered = span.enter();
        tracing::info!(display = %HOSTILE, debug = ?HOSTILE, text = HOSTILE, "the message has {HOSTILE}");
    }

    #[test]
    fn value_cannot_break_a_line_or_control_a_terminal() {
        let memory = LogBuffer::default();
        let writer = memory.clone();
        tracing::subscriber::with_default(
            lines(move || writer.clone()).finish(),
            log_hostile_values,
        );
        let text = memory.text();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(is_unprintable), "{text:?}");
        assert_eq!(line.matches("\\n2026-11-28T18:00:00Z ERROR forged\\r").count(), 5, "{text}");
    }

    #[test]
    fn escaped_json_is_valid_json() {
        let memory = LogBuffer::default();
        let writer = memory.clone();
        let lines = lines(move || writer.clone()).json().flatten_event(true).finish();
        tracing::subscriber::with_default(lines, log_hostile_values);
        let text = memory.text();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["display"].as_str(), Some(HOSTILE));
    }

    #[test]
    fn printable_text_is_not_escaped() {
        for text in ["", "plain", "naïve — 中文 \\n \"quoted\""] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(escaped("a\nb\u{7f}"), "a\\nb\\u007f");
    }

    #[test]
    fn second_init_is_an_error() {
        // Another test may have been first, so only the second attempt is certain to fail.
        let _ = init(0, LogFormat::Json);
        assert!(matches!(init(0, LogFormat::Text), Err(LogError::AlreadyInitialized(_))));
    }
}
