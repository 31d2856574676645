//! Logs: lines on stderr, for people or for machines. Set up once, by the process; libraries only emit.

use std::env;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that overrides `-v`.
const VARIABLE: &str = "RUST_LOG";

/// The flags of logging.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// How much to log: 0-1 what an operator needs, 2-4 each step of this server, 5 and above its inner workings.
    /// RUST_LOG overrides it; what it turns on of libraries may show credentials.
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
    /// The form of the lines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub logging_format: Format,
}

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The environment variable cannot be understood.
    #[error("{VARIABLE}={value:?} is not a filter of log lines: {reason}")]
    Filter {
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody set up logging before.
    #[error("logging is set up already: {0}")]
    Twice(String),
}

/// Sends what is logged from now on to stderr, without colours.
pub fn init(verbosity: u8, format: Format) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(verbosity, env::var(VARIABLE).ok())?)
        .with_writer(io::stderr)
        .with_ansi(false)
        // It would be told on stderr, which is what has just failed, and that ends the thread with a panic.
        .log_internal_errors(false);
    match format {
        Format::Text => lines.finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|error| LogError::Twice(error.to_string()))
}

/// The filter of `-v`, unless the environment asks for another.
fn filter(verbosity: u8, environment: Option<String>) -> Result<EnvFilter, LogError> {
    match environment.filter(|value| !value.is_empty()) {
        Some(value) => EnvFilter::try_new(&value).map_err(|error| {
            let reason = error.to_string();
            LogError::Filter { value, reason }
        }),
        None => Ok(EnvFilter::new(directives(verbosity))),
    }
}

/// Libraries stay at info: their inner workings drown ours. The client of the control plane tells of each attempt during an
/// outage, of which we tell once.
fn directives(verbosity: u8) -> &'static str {
    match verbosity {
        0..=1 => "info,kube_runtime=off,kube_client=off",
        2..=4 => "info,kube_runtime=off,kube_client=off,imagestream_apiserver=debug",
        5.. => "info,kube_runtime=off,kube_client=off,imagestream_apiserver=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_follows_kubernetes_for_our_own_lines_only() {
        for verbosity in [0, 1] {
            let filter = filter(verbosity, None).unwrap().to_string();
            assert!(!filter.contains("imagestream_apiserver") && filter.contains("kube_runtime=off"), "{filter}");
        }
        for (verbosity, level) in [(2, "debug"), (4, "debug"), (5, "trace"), (10, "trace")] {
            let filter = filter(verbosity, None).unwrap().to_string();
            assert!(filter.contains(&format!("imagestream_apiserver={level}")), "{filter}");
            assert!(filter.split(',').any(|directive| directive == "info"), "{filter}");
        }
    }

    #[test]
    fn the_environment_overrides_the_flag_unless_it_is_empty() {
        assert_eq!(filter(9, Some("warn".into())).unwrap().to_string(), "warn");
        assert!(filter(0, Some(String::new())).unwrap().to_string().contains("info"));
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_an_error_that_names_the_variable() {
        let error = filter(0, Some("a=loud".into())).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG=\"a=loud\""), "{error}");
    }

    #[test]
    fn setting_up_twice_is_an_error() {
        // Another test may have been first, so only the second attempt is certain to fail.
        let _ = init(0, Format::Json);
        assert!(matches!(init(0, Format::Text), Err(LogError::Twice(_))));
    }
}
