//! What a run does. Whatever is given counts, then the environment, then the short or the long defaults.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;

use crate::scenarios::Kind;
use crate::turn::Times;

/// Load on the real binary, in turns with what it is compared with.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// How many images the server holds; several sizes one after the other.
    #[arg(long, env = "LOAD_IMAGES", value_name = "COUNTS", value_delimiter = ',', value_parser = positive)]
    #[arg(default_value = "1000,10000,100000", default_value_if("smoke", "true", "100,200"))]
    pub(crate) images: Vec<usize>,
    /// Only these scenarios; all unless given.
    #[arg(long, env = "LOAD_ONLY", value_name = "KINDS", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Kind>,
    /// Seconds of each turn, of each scenario, of each side.
    #[arg(long, env = "LOAD_SECONDS", value_name = "SECONDS", default_value = "5")]
    #[arg(default_value_if("smoke", "true", "0.2"), value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seconds of load before each turn that do not count.
    #[arg(long, env = "LOAD_WARM_UP", value_name = "SECONDS", default_value = "0.5")]
    #[arg(default_value_if("smoke", "true", "0.1"), value_parser = seconds)]
    pub(crate) warm_up: f64,
    /// How many turns each scenario has.
    #[arg(long, env = "LOAD_TURNS", value_name = "COUNT", default_value = "5")]
    #[arg(default_value_if("smoke", "true", "1"), value_parser = positive)]
    pub(crate) turns: usize,
    /// How many connections ask at a time, and how many clients write.
    #[arg(long, env = "LOAD_CONNECTIONS", value_name = "COUNT", default_value = "32", value_parser = positive)]
    pub(crate) connections: usize,
    /// GETs a second where their rate is fixed.
    #[arg(long, env = "LOAD_PACED_RATE", value_name = "COUNT", default_value = "2000")]
    #[arg(default_value_if("smoke", "true", "200"), value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) paced_rate: u32,
    /// Mappings that are made before the turns that write; the client makes further ones as they are sent.
    #[arg(long, env = "LOAD_STOCK", value_name = "COUNT", default_value = "30000")]
    #[arg(default_value_if("smoke", "true", "100"), value_parser = positive)]
    pub(crate) stock: usize,
    /// Threads of the client; as many as there are processors unless given.
    #[arg(long, env = "LOAD_THREADS", value_name = "COUNT", default_value = "0")]
    pub(crate) threads: usize,
    /// A short run that shows that everything works; its figures mean nothing.
    #[arg(long, env = "LOAD_SMOKE")]
    pub(crate) smoke: bool,
    /// Serve as the HTTP baseline of this folder.
    #[arg(long, hide = true)]
    http_baseline: Option<PathBuf>,
    /// Serve on a disk whose syncs take so many milliseconds longer.
    #[arg(long, hide = true)]
    slow_disk: Option<u64>,
    /// The flags of that server.
    #[arg(last = true, hide = true)]
    flags: Vec<String>,
    /// What cargo passes in a benchmark, and leaves out in a test.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this process is.
pub(crate) enum Role<'a> {
    /// The one that measures.
    Measure,
    /// The HTTP baseline of a folder.
    HttpBaseline(&'a Path),
    /// The server on a slow disk, with its flags.
    SlowDisk(Duration, &'a [String]),
}

impl Options {
    /// The options of this process. Ends it when they cannot be used.
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

    /// What this process is.
    pub(crate) fn role(&self) -> Role<'_> {
        match (&self.http_baseline, self.slow_disk) {
            (Some(folder), _) => Role::HttpBaseline(folder),
            (None, Some(millis)) => Role::SlowDisk(Duration::from_millis(millis), &self.flags),
            (None, None) => Role::Measure,
        }
    }

    /// How long a turn takes.
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
