//! What processes take of the machine, as the kernel of Linux tells it under `/proc`.

use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context;

/// The kernel tells processor time in these units, on every architecture that matters here.
const TICK_MILLIS: u64 = 10;

/// What was taken up to a moment.
pub(crate) struct Sample {
    at: Instant,
    server: Duration,
    client: Duration,
    machine: Duration,
}

/// What was taken between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time of the server.
    pub(crate) server: Duration,
    /// Processor time of this process.
    pub(crate) client: Duration,
    /// The share of the machine, 0 to 1, that neither of them had: other processes and other machines of the host. Only
    /// roughly, since interrupts count for whomever they hit.
    pub(crate) others: f64,
}

impl Sample {
    /// What the process `server`, this one, and the whole machine have taken up to now.
    ///
    /// # Errors
    /// `/proc` is not there, or the process is gone.
    pub(crate) fn take(server: u32) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: processor_time(&server.to_string())?,
            client: processor_time("self")?,
            machine: busy_time()?,
        })
    }

    /// What was taken from this sample to a later one.
    pub(crate) fn until(&self, later: &Self) -> Usage {
        let (server, client) = (later.server - self.server, later.client - self.client);
        let others = (later.machine - self.machine).saturating_sub(server + client);
        let all = (later.at - self.at).as_secs_f64()
            * available_parallelism().map_or(1.0, |count| count.get() as f64);
        Usage { server, client, others: others.as_secs_f64() / all }
    }
}

/// Memory of a process that is not swapped out, in MiB.
///
/// # Errors
/// `/proc` is not there, or the process is gone.
pub(crate) fn resident_mib(process: u32) -> anyhow::Result<f64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("the server is gone")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is not told")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kib / 1024.0)
}

/// The processes that ran or wanted to, on average over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg cannot be read")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// Time in user and kernel mode, threads that have ended included.
fn processor_time(process: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("the server is gone")?;
    // The second field is the name, in parentheses, and may hold anything; what follows is the third.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat has another form")?;
    ticks(fields.split(' ').skip(11).take(2))
}

/// Time of the whole machine in user and kernel mode, and what the host gave to others meanwhile.
fn busy_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    let fields = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .context("/proc/stat has another form")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    ticks([0, 1, 2, 7].into_iter().filter_map(|at| fields.get(at).copied()))
}

fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> anyhow::Result<Duration> {
    let mut sum: u64 = 0;
    for field in fields {
        sum += field.parse::<u64>().with_context(|| format!("{field:?} is no number of ticks"))?;
    }
    Ok(Duration::from_millis(TICK_MILLIS * sum))
}
