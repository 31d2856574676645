//! What a run does. Whatever is given counts, then the environment, then the short or the long defaults.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;

/// Load on the real binary, in turns with a bare server.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// How many images the server holds.
    #[arg(long, env = "LOAD_IMAGES", value_name = "COUNT", default_value = "10000")]
    #[arg(default_value_if("smoke", "true", "200"), value_parser = positive)]
    pub(crate) images: usize,
    /// Seconds of each turn, of each scenario, of each server.
    #[arg(long, env = "LOAD_SECONDS", value_name = "SECONDS", default_value = "5")]
    #[arg(default_value_if("smoke", "true", "0.2"), value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How many turns each scenario has.
    #[arg(long, env = "LOAD_TURNS", value_name = "COUNT", default_value = "5")]
    #[arg(default_value_if("smoke", "true", "1"), value_parser = positive)]
    pub(crate) turns: usize,
    /// How many connections ask at a time.
    #[arg(long, env = "LOAD_CONNECTIONS", value_name = "COUNT", default_value = "32", value_parser = positive)]
    pub(crate) connections: usize,
    /// Threads of the client; as many as there are processors unless given.
    #[arg(long, env = "LOAD_THREADS", value_name = "COUNT", default_value = "0")]
    pub(crate) threads: usize,
    /// A short run that shows that everything works; its figures mean nothing.
    #[arg(long, env = "LOAD_SMOKE")]
    pub(crate) smoke: bool,
    /// Serve as the bare server with the files of this folder.
    #[arg(long, hide = true)]
    pub(crate) bare: Option<PathBuf>,
    /// What cargo passes in a benchmark, and leaves out in a test.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The options of this process. Ends it when they cannot be used.
    pub(crate) fn read() -> Self {
        let mut arguments: Vec<OsString> = env::args_os().collect();
        if !arguments.iter().any(|argument| argument == "--bench" || argument == "--smoke") {
            arguments.push("--smoke".into());
        }
        let mut options = Self::parse_from(arguments);
        if options.threads == 0 {
            options.threads = available_parallelism().map_or(1, usize::from);
        }
        options.threads = options.threads.min(options.connections);
        options
    }

    /// How long a turn takes.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a number above 0".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.1..=3600.0).contains(number));
    number.ok_or_else(|| "it must be a number from 0.1 to 3600".into())
}
