//! Options of a run. Command line options override the environment, which overrides the defaults.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;

use crate::scenarios::Kind;
use crate::turn::Times;

/// Load benchmark of the real binary, in alternating turns with baselines.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Number of images in the server; several sizes run one after the other.
    #[arg(long, env = "LOAD_IMAGES", value_name = "COUNTS", value_delimiter = ',', value_parser = positive)]
    #[arg(default_value = "1000,10000,100000", default_value_if("smoke", "true", "100,200"))]
    pub(crate) images: Vec<usize>,
    /// Scenarios to run; all by default.
    #[arg(long, env = "LOAD_ONLY", value_name = "KINDS", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Kind>,
    /// Seconds of each turn.
    #[arg(long, env = "LOAD_SECONDS", value_name = "SECONDS", default_value = "5")]
    #[arg(default_value_if("smoke", "true", "0.2"), value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seconds of warm-up before each turn.
    #[arg(long, env = "LOAD_WARM_UP", value_name = "SECONDS", default_value = "0.5")]
    #[arg(default_value_if("smoke", "true", "0.1"), value_parser = seconds)]
    pub(crate) warm_up: f64,
    /// Turns of each scenario.
    #[arg(long, env = "LOAD_TURNS", value_name = "COUNT", default_value = "5")]
    #[arg(default_value_if("smoke", "true", "1"), value_parser = positive)]
    pub(crate) turns: usize,
    /// Number of concurrent connections, and of clients that write.
    #[arg(long, env = "LOAD_CONNECTIONS", value_name = "COUNT", default_value = "32", value_parser = positive)]
    pub(crate) connections: usize,
    /// GETs per second in scenarios with a fixed rate.
    #[arg(long, env = "LOAD_PACED_RATE", value_name = "COUNT", default_value = "2000")]
    #[arg(default_value_if("smoke", "true", "200"), value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) paced_rate: u32,
    /// Mappings built before the turns that write; the client builds further ones as it sends them.
    #[arg(long, env = "LOAD_STOCK", value_name = "COUNT", default_value = "30000")]
    #[arg(default_value_if("smoke", "true", "100"), value_parser = positive)]
    pub(crate) stock: usize,
    /// Threads of the client; by default the number of processors.
    #[arg(long, env = "LOAD_THREADS", value_name = "COUNT", default_value = "0")]
    pub(crate) threads: usize,
    /// Short run that only checks that everything works; its figures mean nothing.
    #[arg(long, env = "LOAD_SMOKE")]
    pub(crate) smoke: bool,
    /// Serve as the HTTP baseline of this folder.
    #[arg(long, hide = true)]
    http_baseline: Option<PathBuf>,
    /// Serve on a disk whose syncs take this many milliseconds longer.
    #[arg(long, hide = true)]
    slow_disk: Option<u64>,
    /// Flags of that server.
    #[arg(last = true, hide = true)]
    flags: Vec<String>,
    /// Flag that cargo passes to benchmarks but not to tests.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Role of this process.
pub(crate) enum Role<'a> {
    /// Benchmark that measures.
    Measure,
    /// HTTP baseline of a folder.
    HttpBaseline(&'a Path),
    /// Server on a slow disk, with its flags.
    SlowDisk(Duration, &'a [String]),
}

impl Options {
    /// Options of this process. Exits if they are invalid.
    pub(crate) fn read() -> Self {
        let mut arguments: Vec<OsString> = env::args_os().collect();
        if !arguments.iter().any(|argument| argument == "--bench" || argument == "--smoke") {
            arguments.insert(1, "--smoke".into());
        }
        let mut options = Self::parse_from(arguments);
        if options.threads == 0 {
            options.threads = available_parallelism().map_or(1, usize::from);
        }
        options.threads = options.threads.min(options.connections);
        options
    }

    /// Role of this process.
    pub(crate) fn role(&self) -> Role<'_> {
        match (&self.http_baseline, self.slow_disk) {
            (Some(folder), _) => Role::HttpBaseline(folder),
            (None, Some(millis)) => Role::SlowDisk(Duration::from_millis(millis), &self.flags),
            (None, None) => Role::Measure,
        }
    }

    /// Duration of a turn.
    pub(crate) fn times(&self) -> Times {
        let [warm_up, window] = [self.warm_up, self.seconds].map(Duration::from_secs_f64);
        Times { warm_up, window }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "it must be a number above 0".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.1..=3600.0).contains(number));
    number.ok_or_else(|| "it must be a number from 0.1 to 3600".into())
}
